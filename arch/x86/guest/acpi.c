/* ACPI tables for one guest, written straight into its RAM. Section numbers are of ACPI 6.5. */
#include "arch/x86/guest/acpi.h"

#include <string.h>

#include "arch/x86/guest/layout.h"
#include "dsdt.h"

#define PACKED __attribute__((packed))

/* 5.2.6: the system description table header. */
struct PACKED header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
};

/* 5.2.5.3 */
struct PACKED rsdp {
    char signature[8];
    uint8_t checksum; /* of the 20 bytes of revision 0 */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt_address;
    uint32_t length;
    uint64_t xsdt_address;
    uint8_t extended_checksum;
    uint8_t reserved[3];
};

#define RSDP_REVISION_0_SIZE 20

/* 5.2.8 */
struct PACKED xsdt {
    struct header header;
    uint64_t fadt;
    uint64_t madt;
};

/* 5.2.3.2: the generic address structure. */
struct PACKED generic_address {
    uint8_t space;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t access_size;
    uint64_t address;
};

#define SPACE_SYSTEM_IO  1
#define ACCESS_SIZE_BYTE 1

/* 5.2.9. What stands for hardware that a hardware-reduced machine lacks is zero, as 4.1 asks. */
struct PACKED fadt {
    struct header header;
    uint32_t firmware_ctrl;
    uint32_t dsdt;
    uint8_t fixed_hardware[65]; /* offsets 44 to 108: PM blocks, SCI, latencies, CMOS indices */
    uint16_t iapc_boot_arch;
    uint8_t reserved;
    uint32_t flags;
    struct generic_address reset_register;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor_revision;
    uint64_t x_firmware_ctrl;
    uint64_t x_dsdt;
    struct generic_address x_fixed_hardware[8];
    struct generic_address sleep_control;
    struct generic_address sleep_status;
    char hypervisor_vendor[8];
};

_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.5, table 5.9");

#define FADT_REVISION       6
#define FADT_MINOR_REVISION 5

/* 5.2.9, table 5.10 */
#define FADT_WBINVD          (1U << 0)
#define FADT_PWR_BUTTON      (1U << 4) /* no fixed-feature power button */
#define FADT_SLP_BUTTON      (1U << 5) /* no fixed-feature sleep button */
#define FADT_FIX_RTC         (1U << 6) /* no RTC wake status in fixed registers */
#define FADT_RESET_REG_SUP   (1U << 10)
#define FADT_HW_REDUCED_ACPI (1U << 20)

/* 5.2.9.3, table 5.11. Bit 1 clear: no 8042. Bit 5 clear: there is a CMOS clock. */
#define BOOT_VGA_NOT_PRESENT   (1U << 2)
#define BOOT_MSI_NOT_SUPPORTED (1U << 3)

/* 5.2.12 */
struct PACKED madt {
    struct header header;
    uint32_t local_apic_address;
    uint32_t flags; /* PCAT_COMPAT clear: no 8259s */
};

struct PACKED madt_local_apic {
    uint8_t type;
    uint8_t length;
    uint8_t processor_uid;
    uint8_t apic_id;
    uint32_t flags;
};

struct PACKED madt_io_apic {
    uint8_t type;
    uint8_t length;
    uint8_t id;
    uint8_t reserved;
    uint32_t address;
    uint32_t gsi_base;
};

struct PACKED madt_local_x2apic {
    uint8_t type;
    uint8_t length;
    uint16_t reserved;
    uint32_t x2apic_id;
    uint32_t flags;
    uint32_t processor_uid;
};

#define MADT_REVISION     5
#define MADT_LOCAL_APIC   0
#define MADT_IO_APIC      1
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED      (1U << 0)

/* The first id that only an x2APIC entry can name: 0xff is the xAPIC's broadcast. */
#define FIRST_X2APIC_ID 255

static const char oem_id[6] = {'S', 'E', 'E', 'D', 'V', ' '};
static const char oem_name[8] = {'S', 'E', 'E', 'D', 'V', 'S', 'O', 'R'};

/* The range for the tables, taken from its start on. */
struct table_space {
    uint8_t *base;
    uint64_t used;
};

static uint64_t gpa_of(const struct table_space *space, const void *table)
{
    return LAYOUT_ACPI_BASE + (uint64_t)((const uint8_t *)table - space->base);
}

/* Zeroed room for a table, aligned for the RSDP's search rule (5.2.5.1); NULL when full. */
static void *take(struct table_space *space, uint64_t size)
{
    uint64_t start = (space->used + 15) & ~15ULL;

    if (size > LAYOUT_ACPI_SIZE || start > LAYOUT_ACPI_SIZE - size) {
        return NULL;
    }
    space->used = start + size;
    return memset(space->base + start, 0, size);
}

static uint8_t checksum(const void *table, size_t size)
{
    const uint8_t *bytes = table;
    unsigned sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    return (uint8_t)(0U - sum);
}

/* Completes a table whose body is final. */
static void seal(struct header *header, const char *signature, uint8_t revision, uint32_t length)
{
    *header = (struct header){.length = length, .revision = revision, .oem_revision = 1};
    memcpy(header->signature, signature, sizeof(header->signature));
    memcpy(header->oem_id, oem_id, sizeof(header->oem_id));
    memcpy(header->oem_table_id, oem_name, sizeof(header->oem_table_id));
    memcpy(header->creator_id, oem_id, sizeof(header->creator_id));
    header->creator_revision = 1;
    header->checksum = checksum(header, length);
}

/* The value of `Name (\RNGS, 0x0F)` in the byte code: NameOp, the name, BytePrefix, the byte. */
static uint8_t *rng_status(uint8_t *dsdt)
{
    static const uint8_t pattern[] = {0x08, 'R', 'N', 'G', 'S', 0x0a};

    for (size_t i = sizeof(struct header); i + sizeof(pattern) < sizeof(dsdt_aml_code); i++) {
        if (memcmp(dsdt + i, pattern, sizeof(pattern)) == 0) {
            return dsdt + i + sizeof(pattern);
        }
    }
    return NULL;
}

static struct header *build_dsdt(struct table_space *space, bool rng)
{
    uint8_t *dsdt = take(space, sizeof(dsdt_aml_code));

    if (dsdt == NULL) {
        return NULL;
    }
    memcpy(dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));

    struct header *header = (struct header *)dsdt;
    uint8_t *status = rng_status(dsdt);

    if (status == NULL) {
        return NULL;
    }
    if (!rng) {
        *status = 0;
    }
    header->checksum = 0;
    header->checksum = checksum(dsdt, sizeof(dsdt_aml_code));
    return header;
}

/* 4.8.3.7: the sleep and reset registers are one byte each. */
static struct generic_address power_register(unsigned index)
{
    return (struct generic_address){
        .space = SPACE_SYSTEM_IO,
        .bit_width = 8,
        .access_size = ACCESS_SIZE_BYTE,
        .address = LAYOUT_POWER_PORT + index,
    };
}

static struct fadt *build_fadt(struct table_space *space, uint64_t dsdt_gpa)
{
    struct fadt *fadt = take(space, sizeof(*fadt));

    if (fadt == NULL) {
        return NULL;
    }
    /* Both fields: readers that predate the 64-bit one are still about. */
    fadt->dsdt = (uint32_t)dsdt_gpa;
    fadt->x_dsdt = dsdt_gpa;
    fadt->iapc_boot_arch = BOOT_VGA_NOT_PRESENT | BOOT_MSI_NOT_SUPPORTED;
    fadt->flags = FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
                  FADT_RESET_REG_SUP | FADT_HW_REDUCED_ACPI;
    fadt->sleep_control = power_register(0);
    fadt->sleep_status = power_register(1);
    fadt->reset_register = power_register(2);
    fadt->reset_value = LAYOUT_RESET_VALUE;
    fadt->minor_revision = FADT_MINOR_REVISION;
    memcpy(fadt->hypervisor_vendor, oem_name, sizeof(fadt->hypervisor_vendor));
    seal(&fadt->header, "FACP", FADT_REVISION, sizeof(*fadt));
    return fadt;
}

static size_t processor_size(unsigned id)
{
    return id < FIRST_X2APIC_ID ? sizeof(struct madt_local_apic) : sizeof(struct madt_local_x2apic);
}

static void build_processor(void *entry, unsigned id)
{
    if (id < FIRST_X2APIC_ID) {
        *(struct madt_local_apic *)entry = (struct madt_local_apic){
            .type = MADT_LOCAL_APIC,
            .length = sizeof(struct madt_local_apic),
            .processor_uid = (uint8_t)id,
            .apic_id = (uint8_t)id,
            .flags = MADT_ENABLED,
        };
    } else {
        *(struct madt_local_x2apic *)entry = (struct madt_local_x2apic){
            .type = MADT_LOCAL_X2APIC,
            .length = sizeof(struct madt_local_x2apic),
            .x2apic_id = id,
            .flags = MADT_ENABLED,
            .processor_uid = id,
        };
    }
}

/*
 * No interrupt source overrides: ISA interrupts are the I/O APIC inputs of the same number, edge
 * triggered and active high, which is what 5.2.12.5 says of those without an override.
 */
static struct madt *build_madt(struct table_space *space, unsigned vcpus)
{
    uint64_t low = vcpus < FIRST_X2APIC_ID ? vcpus : FIRST_X2APIC_ID;
    uint64_t size = sizeof(struct madt) + sizeof(struct madt_io_apic) +
                    low * sizeof(struct madt_local_apic) +
                    (vcpus - low) * sizeof(struct madt_local_x2apic);
    struct madt *madt = take(space, size);

    if (madt == NULL) {
        return NULL;
    }
    madt->local_apic_address = LAYOUT_LOCAL_APIC_BASE;

    struct madt_io_apic *io_apic = (struct madt_io_apic *)(madt + 1);

    io_apic->type = MADT_IO_APIC;
    io_apic->length = sizeof(*io_apic);
    io_apic->address = LAYOUT_IO_APIC_BASE;

    uint8_t *entry = (uint8_t *)(io_apic + 1);

    for (unsigned id = 0; id < vcpus; id++) {
        build_processor(entry, id);
        entry += processor_size(id);
    }
    seal(&madt->header, "APIC", MADT_REVISION, (uint32_t)size);
    return madt;
}

static void build_rsdp(struct rsdp *rsdp, uint64_t xsdt_gpa)
{
    memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
    memcpy(rsdp->oem_id, oem_id, sizeof(rsdp->oem_id));
    rsdp->revision = 2;
    rsdp->length = sizeof(*rsdp);
    rsdp->xsdt_address = xsdt_gpa;
    rsdp->checksum = checksum(rsdp, RSDP_REVISION_0_SIZE);
    rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

bool acpi_build(const struct guest_memory *memory, const struct acpi_configuration *configuration,
                uint64_t *rsdp_gpa)
{
    struct table_space space = {guest_memory_range(memory, LAYOUT_ACPI_BASE, LAYOUT_ACPI_SIZE), 0};

    if (space.base == NULL || configuration->vcpus == 0) {
        return false;
    }
    struct rsdp *rsdp = take(&space, sizeof(*rsdp));
    struct xsdt *xsdt = take(&space, sizeof(*xsdt));
    struct header *dsdt = build_dsdt(&space, configuration->rng);

    if (rsdp == NULL || xsdt == NULL || dsdt == NULL) {
        return false;
    }
    struct fadt *fadt = build_fadt(&space, gpa_of(&space, dsdt));
    struct madt *madt = build_madt(&space, configuration->vcpus);

    if (fadt == NULL || madt == NULL) {
        return false;
    }
    xsdt->fadt = gpa_of(&space, fadt);
    xsdt->madt = gpa_of(&space, madt);
    seal(&xsdt->header, "XSDT", 1, sizeof(*xsdt));
    build_rsdp(rsdp, gpa_of(&space, xsdt));
    *rsdp_gpa = gpa_of(&space, rsdp);
    return true;
}
