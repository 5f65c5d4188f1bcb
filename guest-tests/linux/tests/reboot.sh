# Asks for a reset. With reboot=t on the command line the kernel does it by a triple fault.
. /tests/bytes.sh
say "rebooting"
reboot -f
sleep 60
say "still running a minute after reboot"
