#!/bin/sh
# A Debian with systemd as process 1, as an ext4 image. Run as root by `cargo xtask vm --systemd`.
#
# usage: rootfs.sh DEBOOTSTRAP SUITE MIRROR KEYRING SCRATCH IMAGE OWNER
set -eu
debootstrap=$1 suite=$2 mirror=$3 keyring=$4 scratch=$5 image=$6 owner=$7
root=$scratch/root

# podman is for real containers, with crun, which has systemd create their cgroups (through dbus). podman requires a network stack:
# netavark is named here because debootstrap does not choose one of several alternatives.
# debootstrap's output names every package, so it is shown only if debootstrap fails.
if ! "$debootstrap" --variant=minbase --include=systemd,systemd-sysv,dbus,podman,crun,netavark --keyring="$keyring" \
    "$suite" "$root" "$mirror" >"$scratch/debootstrap.log" 2>&1; then
    tail -n 30 "$scratch/debootstrap.log" >&2
    # Its error refers to this log, which is removed with the scratch directory.
    tail -n 30 "$root/debootstrap/debootstrap.log" >&2 || true
    exit 1
fi

# A guest fetches no packages, and nobody reads documentation in it.
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/etc/apt/sources.list \
    "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*

systemd=$root/etc/systemd/system
# This service would wait 90 s for a device, because there is no udev to announce it.
ln -s /dev/null "$systemd/serial-getty@ttyS0.service"
for timer in apt-daily apt-daily-upgrade dpkg-db-backup fstrim e2scrub_all; do
    ln -sf /dev/null "$systemd/$timer.timer"
done
# Debian's kernels have overlayfs as a module, and the guest has no modules. Nothing here needs a registry or a network.
mkdir -p "$root/etc/containers"
cat >"$root/etc/containers/storage.conf" <<CONF
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
CONF
cat >"$root/etc/containers/containers.conf" <<CONF
[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "systemd"
events_logger = "none"
runtime = "crun"
CONF
cat >"$systemd/taskscope-guest.service" <<UNIT
[Unit]
Description=The test that was put beside this system
After=basic.target
FailureAction=poweroff-immediate
SuccessAction=poweroff-immediate

[Service]
ExecStart=/bin/sh -c 'tar --extract --file=/payload.tar --directory=/opt && exec /opt/guest-systemd'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
UNIT
mkdir -p "$systemd/multi-user.target.wants"
ln -s ../taskscope-guest.service "$systemd/multi-user.target.wants/"

mkfs.ext4 -q -F -d "$root" -L root "$image" 1G
rm -rf "$root"
chown "$owner" "$image"
