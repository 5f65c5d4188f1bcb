# How much of its CPUs the guest gets while others spin too; share=SECONDS,ALIGNMENT: see share.c.
# Afterwards the kernel must not have missed time, a CPU or an interrupt.
say "share: $(share ${argument%,*} ${argument#*,} 2>&1 | tr '\n' ';')"
if dmesg | grep -e 'soft lockup' -e 'rcu.*stall' -e 'unstable' -e 'WARNING:' -e 'BUG:'; then
    say "share: the kernel complains"
else
    say "share: the kernel has no complaints"
fi
say "share: $(nproc) CPUs online, hwrng $(dd if=/dev/hwrng bs=64 count=16 2>/dev/null | wc -c) bytes"
