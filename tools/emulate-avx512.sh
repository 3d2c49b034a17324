#!/bin/bash
# Runs a program on an emulated processor with AVX-512 (Bochs 2.7, model Skylake-X: F, CD, BW, DQ, VL), under a Debian
# kernel, from an initramfs: for those whose processor has none. Nothing is installed: the packages are unpacked in
# build-avx512 on the first run. About a minute to boot, then 1/50 to 1/100 of the machine's speed.
#   tools/emulate-avx512.sh [-f FILE_OR_FOLDER]... PROGRAM [ARGUMENT...]
# PROGRAM may be static or dynamic (its libraries go along). -f: goes along as /home/NAME, which is SNUG_SOURCE_ROOT.
# Prints the program's output; exit code: the program's, or 125. LIMIT: seconds, 600 by default.
# Known fault of Bochs 2.7: vcvtps2ph rounds exact ties away from even, so f16 stores differ there (in AVX2, too).
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)/build-avx512
mkdir -p "$here"
files=()
while [ "${1:-}" = -f ]; do files+=("$2"); shift 2; done
program=$1; shift
r=$here/r
if [ ! -d "$r" ]; then
    mkdir -p "$here/deb" && cd "$here/deb"
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -1)
    apt-get download -q bochs bochsbios vgabios busybox-static isolinux syslinux-common genisoimage libltdl7 \
        libsamplerate0 "$kernel" > /dev/null 2>&1
    mkdir "$r.new"; for d in *.deb; do dpkg -x "$d" "$r.new"; done
    # bochs-bin is linked with GTK for a window that is not opened: empty functions stand in.
    mkdir "$r.new/stub"
    nm -D --undefined-only "$r.new/usr/bin/bochs-bin" | awk '$2 ~ /^(gtk|gdk|g_|pango)/ {print "void "$2"(void); void "$2"(void){}"}' > "$r.new/stub/s.c"
    gcc -shared -fPIC -Wl,-soname,libgtk-3.so.0 "$r.new/stub/s.c" -o "$r.new/stub/libgtk-3.so.0"
    for l in libgdk-3.so.0 libpango-1.0.so.0 libgobject-2.0.so.0 libglib-2.0.so.0; do
        gcc -shared -fPIC -xc /dev/null -Wl,-soname,$l -o "$r.new/stub/$l"
    done
    mv "$r.new" "$r"; cd "$OLDPWD"
fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/tree/{bin,dev,proc,sys,tmp,home} "$work/iso/isolinux"
cp "$r/bin/busybox" "$work/tree/bin/"
cp "$program" "$work/tree/home/program"
{ ldd "$program" 2> /dev/null || true; } | grep -o '/[^ ]*' | while read -r l; do cp -L --parents "$l" "$work/tree/"; done
for f in ${files[@]+"${files[@]}"}; do cp -rL "$f" "$work/tree/home/"; done
cat > "$work/tree/init" <<EOF
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
export SNUG_SOURCE_ROOT=/home HOME=/home PATH=/bin
cd /home
exec > /dev/ttyS0 2>&1
echo "==begin=="
./program $(printf ' %q' "$@")
echo; echo "==code \$?=="
/bin/busybox sleep 2
/bin/busybox poweroff -f
EOF
sed -i 's/^echo; echo "==code \$?=="/code=$?; echo; echo "==code $code=="/' "$work/tree/init"
chmod +x "$work/tree/init"
(cd "$work/tree" && find . | "$r/bin/busybox" cpio -o -H newc 2> /dev/null | gzip -1) > "$work/iso/initrd"
cp "$r"/boot/vmlinuz-* "$work/iso/vmlinuz"
cp "$r/usr/lib/ISOLINUX/isolinux.bin" "$r/usr/lib/syslinux/modules/bios/ldlinux.c32" "$work/iso/isolinux/"
# Bochs' XSAVEC and XSAVES do not satisfy Linux, which would then turn all of AVX off: only XSAVE is left.
cat > "$work/iso/isolinux/isolinux.cfg" <<EOF
default l
prompt 0
timeout 1
label l
 kernel /vmlinuz
 initrd /initrd
 append console=ttyS0,115200 nokaslr mitigations=off tsc=reliable clocksource=tsc nosmp lsm= audit=0 quiet panic=-1 nopku noxsaves clearcpuid=xsavec,xsaves
EOF
"$r/usr/bin/genisoimage" -quiet -o "$work/cd.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$work/iso"
cat > "$work/bochsrc" <<EOF
megs: 1024
cpu: model=${CPU:-corei7_skylake_x}, count=1, ips=50000000, reset_on_triple_fault=0
romimage: file=$r/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=$r/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
clock: sync=none
log: $work/log
panic: action=fatal
error: action=ignore
info: action=ignore
display_library: rfb, options="timeout=0"
EOF
echo c > "$work/rc" # Debian's build starts in its debugger: continue
{ LD_LIBRARY_PATH=$r/usr/lib/x86_64-linux-gnu:$r/stub LTDL_LIBRARY_PATH=$r/usr/lib/x86_64-linux-gnu/bochs/plugins \
    BXSHARE=$r/usr/share/bochs timeout "${LIMIT:-600}" "$r/usr/bin/bochs-bin" -q -f "$work/bochsrc" -rc "$work/rc" \
    < /dev/null > "$work/out" 2>&1; } 2> /dev/null || true
tr -d '\r' < "$work/serial" > "$work/text" || true
sed -n '/^==begin==$/,/^==code .*==$/p' "$work/text" | sed '1d;$d'
code=$(sed -n 's/^==code \(.*\)==$/\1/p' "$work/text" | tail -1)
if [ -z "$code" ]; then echo "did not end; the end of the console:"; tail -n 15 "$work/text"; tail -n 3 "$work/out"; exit 125; fi
exit "$code"
