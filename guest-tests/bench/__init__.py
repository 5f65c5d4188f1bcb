# Measures Seedvisor: what tools/bench, tools/bench-compare and their tests are made of.
