# Measures KVM and QEMU, this machine being their host: seedvisor.test=peer=READS,stock or
# peer=READS,tuned. Each guest is the same kernel and initramfs as Seedvisor's.
guest_memory=256
reads=${argument%%,*}
case $argument in
*,tuned)
    # What KVM's interrupt controllers save; the second I/O APIC is not in the kernel.
    machine=,kernel_irqchip=on,ioapic2=off
    ;;
*)
    machine=
    ;;
esac

# peer NAME READS: one guest from its start to its end.
peer() {
    echo "seedvisor-peer: run $1"
    stamp $guest_memory qemu-system-x86_64 -L /usr/share/qemu -nodefaults -no-user-config -display none -no-reboot \
        -machine "microvm,accel=kvm,acpi=on,pit=off,pic=off,rtc=off,auto-kernel-cmdline=off$machine" \
        -cpu host -smp 1 -m $guest_memory -serial stdio -device virtio-rng-device \
        -kernel /peer/vmlinuz -initrd /peer/initramfs.cpio \
        -append "console=ttyS0 panic=-1 quiet cryptomgr.notests iomem=relaxed seedvisor.test=bench=$2" \
        </dev/null
}

# counted NAME READS: likewise with KVM's exits counted by reason, which takes time of its own.
counted() {
    echo "hist:keys=exit_reason" >$trigger
    peer "$1" "$2"
    sed -n "s/^{ exit_reason: *\([^ ]*\) *} hitcount: *\([0-9]*\)/seedvisor-peer: exits \1 \2/p" \
        "${trigger%/trigger}/hist"
    echo "!hist:keys=exit_reason" >$trigger
}

while read -r module; do
    insmod "/peer/modules/$module" 2>/dev/null || say "no $module on this machine"
done </peer/modules/order
mount -t tracefs trace /sys/kernel/tracing
trigger=/sys/kernel/tracing/events/kvm/kvm_exit/trigger
peer one "$reads"
counted counted-one "$reads"
counted counted-few 1
say "peers done"
write-port 0xe9 "seedvisor-result: 0
"
# The last of the console must have left the UART, for which the kernel keeps up to a page of it:
# 0.36 s. The port ends Bochs; QEMU is switched off.
sleep 1
write-port 0x8900 Shutdown
