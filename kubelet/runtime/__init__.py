"""The Docker engine behind the protocols of model/: ContainerRuntime and StreamingRuntime.

docker.py       the protocols' methods; dockerconfig.py: our configuration → Docker's
dockerstate.py  Docker's answers → our values; dockerstream.py: raw streams of exec and attach
"""
