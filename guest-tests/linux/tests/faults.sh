# What readers of /dev/hwrng see while the source fails; a test build's debug.rng_fault makes it.
# seedvisor.test=faults=MODE: recover, boot, permanent or empty.
device=/sys/bus/virtio/devices/virtio0
driver=/sys/bus/virtio/drivers/virtio_rng

# Whether the device asks for a reset: bit 6 of its status (virtio 1.3, 2.1).
needs_reset() {
    [ $(($(cat $device/status) & 0x40)) -ne 0 ]
}

# within SECONDS COMMAND...: waits until the command succeeds; fails if it does not in time.
within() {
    seconds=$1
    shift
    while ! "$@"; do
        [ "$seconds" -gt 0 ] || return 1
        seconds=$((seconds - 1))
        sleep 1
    done
}

rebind() {
    echo virtio0 >$driver/unbind
    echo virtio0 >$driver/bind
    wait_for /dev/hwrng
}

# A new reader that has five seconds.
can_read() {
    timeout -s KILL 5 read-hwrng "$1" 4096
}

wait_for /dev/hwrng
case $argument in
recover)
    # As many bytes as it takes to come through all the faults.
    read-hwrng recover 1441792
    ;;
boot)
    can_read rebound
    ;;
permanent)
    read-hwrng first 1048576 &
    reader=$!
    within 120 needs_reset && say "the device needs a reset, status $(cat $device/status)"
    kill -0 $reader && say "the reader waits"
    # The driver takes no notice; once the source is good the reader gets the rest.
    wait $reader
    rebind
    say "rebound, status $(cat $device/status)"
    # The same once more; now the driver goes while the source is bad.
    read-hwrng second 1048576 &
    reader=$!
    within 120 needs_reset && say "the device needs a reset again"
    echo virtio0 >$driver/unbind
    wait $reader
    # This may take until the source is good again: the driver's probing waits for it.
    echo virtio0 >$driver/bind
    wait_for /dev/hwrng
    read-hwrng rebound 4096
    ;;
empty)
    read-hwrng first 1048576 &
    reader=$!
    sleep 5
    kill -0 $reader && say "the reader waits, device status $(cat $device/status)"
    can_read second || say "another reader waits too"
    kill -KILL $reader
    can_read third || say "so does one after the first was killed"
    rebind
    can_read rebound
    ;;
esac
say "faults: done"
