# Times the same reads of /dev/hwrng after each of two lines that are typed on the console.
pace() {
    begin=$(uptime)
    dd if=/dev/hwrng of=/dev/null bs=64 count=4096 2>/dev/null
    echo "$begin to $(uptime)"
}

# Seconds since the kernel started, with two decimals.
uptime() {
    cut -d ' ' -f 1 /proc/uptime
}

wait_for /dev/hwrng
say "ready"
while read -r line; do
    say "pace $line: $(pace)"
done
