# What build, up and down share. Sourced, never run.
# shellcheck shell=bash

readonly KUBE_VERSION=v1.35.4
CACHE=${MOBULA_CACHE:-$HOME/.cache/mobula}
KUBE_HOME=$CACHE/kube/$KUBE_VERSION
# shellcheck disable=SC2034  # used by those who source this
BIN=$KUBE_HOME/bin
readonly KUBERAY_VERSION=v1.6.2
# shellcheck disable=SC2034
KUBERAY_CRDS=$CACHE/kube/kuberay-$KUBERAY_VERSION

# Every cluster directory carries this file, so that nothing is ever removed from another one.
# shellcheck disable=SC2034
readonly MARK=mobula-test-cluster

say() { printf '[%s] %s\n' "$(date +%T)" "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Prints the moment PID was started, in clock ticks since boot; fails if it is gone or a zombie.
# A number together with its moment names one process for ever, however numbers are reused.
process_start() { # PID
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -r -a fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] && [ "${fields[0]}" != X ] && printf '%s\n' "${fields[19]}"
}

is_running() { # PID START
    [ "$(process_start "$1" || true)" = "$2" ]
}
