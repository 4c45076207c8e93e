"""The launcher behind ``make up``: it prepares the machine, starts the five processes of a cluster, and removes it all.

cli                             the command line: up, stop, down, status, logs
launch, teardown, status        what the commands do, step by step
supervisor                      the process that starts the components, and restarts one that ends
components                      the command line of each component
preflight, packages, engine     whether the machine can run a cluster; Debian packages; a Docker engine
images, pythonfiles             the three images, built from files of this machine
pki, kubeconfigs                certificates, and who uses which
health                          asks the components whether they are healthy
leftovers, lock                 what earlier clusters left behind; one cluster on a machine
record, table, processes        what is stored in files, and what the kernel knows of a process
docker                          a few calls to the Docker Engine API
settings, errors, progress      fixed names and numbers; errors that are shown as a line; steps with their seconds
"""
