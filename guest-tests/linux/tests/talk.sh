# Says back every line it reads from the console, until one is "end". "keys" asks for eight keys and
# shows them as the terminal sent them; "busy" writes to nowhere without end, until "flood" writes
# to the console without end.
write() {
    count=0
    while true; do
        echo "flood $count of a guest that writes and writes and never comes to an end"
        count=$((count + 1))
    done
}

say "talk to me"
while read -r line && [ "$line" != end ]; do
    case $line in
    keys)
        stty raw -echo
        printf 'seedvisor-guest: press 8 keys\r\n'
        keys=$(head -c 8 | od -An -v -tx1)
        stty sane
        say "pressed:$keys"
        ;;
    busy)
        write >/dev/null &
        say "busy"
        ;;
    flood)
        kill $!
        write
        ;;
    *)
        say "heard: $line"
        ;;
    esac
done
