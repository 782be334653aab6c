"""A real Slurm of one node on this machine: munge, the controller and the node's daemon, in a folder of their own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tokenviz.base.hardware import cores, memory_bytes

CONFIG = """ClusterName=test
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
JobRequeue=1
KillWait=2
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """Have Slurm run inside the block; yields its configuration, which commands find by SLURM_CONF."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"{missing[0]} is not installed" if missing else "only root may start Slurm's daemons")
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    host, ports = socket.gethostname().partition(".")[0], [_port() for _ in range(2)]
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=host, folder=folder, controller=ports[0], node=ports[1], cores=cores(), memory=memory_bytes() // 2**21
        )
    )
    environment = {**os.environ, "SLURM_CONF": str(config)}
    munge = [
        f"--{name}={folder}/munge.{name.partition('-')[0]}"
        for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")
    ]
    commands = [["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("wb")
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
            log.close()
            time.sleep(1)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            said = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False)
            if said.stdout.strip() in ("idle", "mixed"):
                break
            time.sleep(0.5)
        else:
            logs = "".join(path.read_text(errors="replace")[-800:] for path in sorted(folder.glob("*.log")))
            raise AssertionError(f"Slurm does not come up: {said.stdout} {said.stderr} {logs}")
        yield config
    finally:
        subprocess.run(["scancel", "--user", "root"], env=environment, capture_output=True, check=False, timeout=30)
        for daemon in reversed(daemons):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(15)
            daemon.kill()
            daemon.wait()


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
