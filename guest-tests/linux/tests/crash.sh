# Ends badly, on purpose: crash=triple (with reboot=t on the command line), crash=unmapped or
# crash=panic.
say "crash: $argument"
case $argument in
triple)
    # The kernel's reset by triple fault: an empty IDT and an int3.
    reboot -f
    ;;
unmapped)
    # Between the devices and the APICs: guest-physical addresses with nothing behind them.
    say "read $(devmem 0xe0000000 32)"
    devmem 0xe0000000 32 0x12345678
    say "wrote"
    ;;
panic)
    echo c >/proc/sysrq-trigger
    ;;
*)
    say "crash: triple, unmapped or panic?"
    ;;
esac
[ "$argument" = unmapped ] || sleep 60
say "survived"
