# Does nothing but switch the machine off.
say "powering off"
