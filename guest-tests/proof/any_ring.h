/* For the proof of queue.c: a ring format of which nothing is known but what ring.h says. */
#define RING(function) ring_##function
#define RING_FORMAT    (0 == 0)
#include "guest-tests/proof/ring.h"
