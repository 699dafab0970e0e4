#!/usr/bin/env bash
# usage: valgrind_test.sh AVIARY: trains a tiny model for a few steps and generates text with it, under valgrind.
# Exit code 77: no valgrind, or none for this CPU.
set -euo pipefail
aviary=$1
if ! command -v valgrind >/dev/null; then
  echo "skipped: valgrind is not installed"
  exit 77
fi
# Valgrind refuses instructions that a CPU does not announce. Where a library uses one before the program begins, nothing
# of ours is tested (libhwy reads the clock by RDTSCP, which some virtual machines hide).
illegal_instruction=132
code=0
valgrind --quiet "$aviary" --version >/dev/null 2>&1 || code=$?
if [ $code = $illegal_instruction ]; then
  echo "skipped: valgrind refuses an instruction that a library needs on this CPU"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for i in $(seq 1 400); do echo "The heron counted $i fish, and $((i * 7 % 31)) frogs besides."; done >text.txt

checked() {
  echo "-- aviary $*"
  valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite --num-callers=30 "$aviary" "$@"
}
tiny=(--layers 2 --width 16 --head-size 8 --vocabulary 256 --context 16 --batch 2)
for precision in f32 bf16; do
  checked train text.txt --out "run-$precision" --steps 3 "${tiny[@]}" --precision "$precision" --validation-bytes 200 </dev/null
  checked generate "run-$precision" --prompt "The heron" --tokens 20 --seed 1 --precision "$precision"
done
checked train --resume run-f32 --steps 5 </dev/null
head -c 300 text.txt >few.txt
checked evaluate run-f32 few.txt
