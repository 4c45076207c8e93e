"""The Docker engine behind the ContainerRuntime protocol (model/runtime.py).

docker.py       the protocol's methods; dockerconfig.py: our configuration → Docker's
dockerstate.py  Docker's answers → our values; dockerstream.py: raw streams of exec and attach
"""
