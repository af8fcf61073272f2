#!/usr/bin/env bash
# Fill the holes of all photos of a folder; run it again, and only what is new or changed is done.
#
#     examples/inpaint_folder.sh PHOTOS MASKS FILLED
#
# Each photo takes the mask of its name: photos/one.jpg and masks/one.png make filled/one.png. A mask is white where the
# photo is to be filled.
set -eu

ganport inpaint "$1" "$2" -o "$3"
echo "$(find "$3" -name '*.png' | wc -l) of $(find "$1" -type f | wc -l) photos are in $3"
