# Does nothing for seedvisor.test=idle=SECONDS.
sleep "${argument:-5}"
say "idle for ${argument:-5} seconds"
