#!/usr/bin/env bash
# A real Slurm of one node, on 127.0.0.1 only, for tests: no systemd, no cgroups, no accounting, and
# nothing outside one folder. As root; Debian's packages munge slurmctld slurmd slurm-client.
#
#   slurm_sandbox.sh up        start munged, slurmctld and slurmd
#   slurm_sandbox.sh env       print the line that lets Slurm's commands find it
#   slurm_sandbox.sh down      stop what `up` has started, by its process ids, and remove the folder
#
# SLURM_SANDBOX: the folder (keep its path short: it holds unix sockets)
# SLURM_CPUS: cores that the node says it has (default: those of the machine)
set -euo pipefail
D=${SLURM_SANDBOX:-${TMPDIR:-/tmp}/slurm-sandbox-$(id -u)}
CPUS=${SLURM_CPUS:-$(nproc)}
H=$(hostname -s)
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$D/slurm.conf

wait_for() { # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "timed out: $*" >&2; return 1; }
        sleep 0.1
    done
}

configure() {
    cat >"$SLURM_CONF" <<C
ClusterName=sandbox
SlurmctldHost=$H(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=${SLURM_CTLD_PORT:-16817}
SlurmdPort=${SLURM_SLURMD_PORT:-16818}
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=2
MinJobAge=3600
MaxArraySize=1001
NodeName=$H NodeAddr=127.0.0.1 CPUs=$CPUS State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
    if ((CPUS > $(nproc))); then echo "SlurmdParameters=config_overrides" >>"$SLURM_CONF"; fi
}

up() {
    [[ -e $D ]] && { echo "$D exists: run '$0 down' first" >&2; exit 1; }
    mkdir -p "$D"/{state,spool,log,run}
    mkdir -m 700 "$D/munge"
    chmod 755 "$D" "$D/run"
    (umask 077; dd if=/dev/urandom of="$D/munge/key" bs=1024 count=1 status=none)
    munged --key-file="$D/munge/key" --socket="$D/run/munge.socket" \
        --pid-file="$D/run/munged.pid" --log-file="$D/munge/munged.log" \
        --seed-file="$D/munge/seed" --num-threads=2
    configure
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N "$H"
    wait_for 30 bash -c "sinfo -h -o %T | grep -qE '^(idle|mixed|allocated)'"
    wait_for 30 timeout 5 srun -n1 true
}

down() {
    [[ -d $D ]] || return 0
    timeout 10 scancel -u root >/dev/null 2>&1 || true
    local name pid
    for name in slurmd slurmctld munged; do
        [[ -s $D/run/$name.pid ]] || continue
        pid=$(<"$D/run/$name.pid")
        # Only a process that still is what was started.
        [[ $(ps -o comm= -p "$pid" 2>/dev/null) == "$name"* ]] || continue
        kill "$pid" 2>/dev/null || true
        wait_for 15 bash -c "! kill -0 $pid" || kill -9 "$pid" 2>/dev/null || true
    done
    rm -rf "$D"
}

case ${1:-} in
    up) up ;;
    down) down ;;
    env) echo "export SLURM_CONF=$SLURM_CONF" ;;
    *) sed -n 2,12p "$0"; exit 2 ;;
esac
