#!/usr/bin/env bash
# Runs the operator together with the emulator of CodePipeline, until Ctrl-C or until one of them
# ends. The operator only reaches the emulator, never an AWS account.
# Usage: EMULATOR=ADDRESS hack/run.sh BIN-FOLDER IMAGE
# $EMULATOR_FLAGS and $RUN_FLAGS are additional flags of the emulator and the operator.
#
# -m gives the programs their own process groups. Ctrl-C then reaches only this script, which stops
# the operator first. A second signal would end the operator immediately.
set -euo pipefail -m

bin=$1 image=$2
for name in "${!AWS_@}"; do
	unset "$name"
done
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export AWS_ENDPOINT_URL="http://$EMULATOR" AWS_ACCESS_KEY_ID=emulator AWS_SECRET_ACCESS_KEY=emulator

emulator='' operator=''
# end stops a program, if it was started, and waits until it has ended.
end() {
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null || true
	wait "$1" || true
}
stop() {
	trap - EXIT
	trap 'kill -KILL $operator $emulator 2>/dev/null' INT TERM HUP
	end "$operator"
	end "$emulator"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The variables are split into words.
# shellcheck disable=SC2086
"$bin/codepipeline-emulator" --listen="$EMULATOR" ${EMULATOR_FLAGS:-} &
emulator=$!
# shellcheck disable=SC2086
"$bin/manager" --runner-image="$image" --metrics-bind-address=127.0.0.1:8443 --health-probe-bind-address=127.0.0.1:8081 ${RUN_FLAGS:-} &
operator=$!
wait -n "$emulator" "$operator"
