# Times the same reads of /dev/hwrng twice: alone, and after a line was typed on the console.
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
say "pace alone: $(pace)"
read -r line
say "pace beside: $(pace)"
read -r line
