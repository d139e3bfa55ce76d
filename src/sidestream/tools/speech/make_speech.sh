#!/usr/bin/env bash
# Makes caller.wav and callee.wav: the two sides of one short telephone conversation, each as its own microphone heard it.
# Needs espeak-ng and sox. The result is committed, so that neither tests nor the demonstration need them.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

readonly RATE=8000
readonly CALLER_VOICE=(-v en-gb-x-rp -s 185 -p 45)
readonly CALLEE_VOICE=(-v en-us+f3 -s 185 -p 60)
readonly PAUSE=0.25

turn=0
# say SIDE WORDS: one turn; the other side is silent for as long.
say() {
    local side=$1 words=$2 other voice
    turn=$((turn + 1))
    local name; name=$(printf '%s/%02d' "$work" "$turn")
    if [ "$side" = caller ]; then other=callee voice=("${CALLER_VOICE[@]}"); else other=caller voice=("${CALLEE_VOICE[@]}"); fi
    espeak-ng "${voice[@]}" -w "$name.raw.wav" "$words"
    # The telephone band, then silence trimmed from both ends and one pause behind.
    sox "$name.raw.wav" -r $RATE -c 1 -b 16 "$name.$side.wav" gain -3 highpass 200 lowpass 3400 \
        silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse pad 0 $PAUSE gain -n -6
    sox -r $RATE -n -c 1 -b 16 "$name.$other.wav" trim 0 "$(soxi -s "$name.$side.wav")s"
}

say callee "Support desk, this is Grace. How can I help you?"
say caller "Hello Grace, this is Ada. My order has not arrived."
say callee "I am sorry. Please enter your order number."
say caller "One, two, and hash."
say callee "Thank you. Please hold the line."
say callee "Thanks for waiting. It will be with you tomorrow."
say caller "Wonderful. Thank you very much. Goodbye."
say callee "Goodbye."

for side in caller callee; do
    sox "$work"/*."$side".wav "$work/$side.joined.wav"
    # A quiet room: with noise in the pauses no two frames are alike, so a lost, doubled or swapped frame can't hide in silence.
    seconds=$(soxi -D "$work/$side.joined.wav")
    sox -R -r $RATE -n -c 1 -b 16 "$work/$side.room.wav" synth "$seconds" pinknoise gain -48
    [ "$side" = caller ] || sox "$work/$side.room.wav" "$work/$side.turned.wav" reverse
    [ "$side" = caller ] || mv "$work/$side.turned.wav" "$work/$side.room.wav"
    # Whole frames of 20 ms (160 samples), so that the last packet is full.
    samples=$(soxi -s "$work/$side.joined.wav")
    sox -D -m -v 1 "$work/$side.joined.wav" -v 1 "$work/$side.room.wav" -b 16 "$side.wav" trim 0 "$((samples / 160 * 160))s"
done
soxi caller.wav callee.wav
