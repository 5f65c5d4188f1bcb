// Reads /dev/hwrng into physical memory that the kernel does not use, so that it can be taken from
// the machine as a whole.
//
// usage: fill-memory ADDRESS MiB. The first page is the header of struct header, the bytes follow.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE    4096
#define REQUEST 64
// FNV-1a, 64 bits, on 64-bit words.
#define FNV_BASIS 0xcbf29ce484222325UL
#define FNV_PRIME 0x100000001b3UL

struct header {
    char magic[16];
    uint64_t size;
    uint64_t hash; // of the bytes, so that a reader knows that it has them all and in order
};

static int fill(unsigned char *bytes, size_t size)
{
    int device = open("/dev/hwrng", O_RDONLY);

    if (device < 0) {
        perror("fill-memory: /dev/hwrng");
        return 0;
    }
    for (size_t have = 0; have < size;) {
        ssize_t got = read(device, bytes + have, REQUEST);

        if (got <= 0) {
            perror("fill-memory: /dev/hwrng");
            return 0;
        }
        have += (size_t)got;
    }
    return 1;
}

static uint64_t hash_of(const unsigned char *bytes, size_t size)
{
    uint64_t hash = FNV_BASIS;

    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof(word));
        hash = (hash ^ word) * FNV_PRIME;
    }
    return hash;
}

int main(int argc, char **argv)
{
    struct header header = {.magic = ""};
    off_t address = argc == 3 ? strtol(argv[1], NULL, 0) : 0;
    size_t size = argc == 3 ? strtoul(argv[2], NULL, 0) << 20 : 0;
    int memory = open("/dev/mem", O_RDWR);

    if (address == 0 || size == 0 || memory < 0) {
        fprintf(stderr, "usage: fill-memory ADDRESS MiB\n");
        return 2;
    }
    unsigned char *region =
        mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, address);

    if (region == MAP_FAILED) {
        perror("fill-memory: /dev/mem");
        return 1;
    }
    // A few bytes more may come than were asked for last: the region has room for a whole page.
    if (!fill(region + PAGE, size)) {
        return 1;
    }
    // Put together here, so that no copy of this program looks like a header.
    snprintf(header.magic, sizeof(header.magic), "%s-%s", "SEEDVISOR", "BYTES");
    header.size = size;
    header.hash = hash_of(region + PAGE, size);
    memcpy(region, &header, sizeof(header));
    return 0;
}
