# Reads a line from the console and says it back.
say "type a line"
read -r line
say "got: $line"
