// Writes the bytes of a text to an I/O port, one by one. For runs without a hypervisor: the cloud
// kernel has no /dev/port.
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: write-port PORT TEXT\n");
        return 2;
    }
    if (iopl(3) != 0) {
        perror("write-port: iopl");
        return 1;
    }
    for (const char *character = argv[2]; *character != '\0'; character++) {
        outb((unsigned char)*character, (unsigned short)strtoul(argv[1], NULL, 0));
    }
    return 0;
}
