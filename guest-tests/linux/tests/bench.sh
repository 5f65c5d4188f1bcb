# What `make bench` measures in a guest. seedvisor.test=bench=READS: single instructions, and that
# many reads of /dev/hwrng; bench=window,ALIGN,TICKS: reads at the same time as other guests.
wait_for /dev/hwrng
case $argument in
window,*)
    rng-bench $(echo "$argument" | tr ',' ' ')
    ;;
*)
    exit-bench
    rng-bench "$argument"
    ;;
esac
say "bench done"
