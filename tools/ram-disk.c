// Starts what is on a disk image that QEMU hands over through its firmware configuration device.
//
// A UEFI application for runs that must repeat themselves: a disk that QEMU emulates answers when
// this machine's disk and scheduler let it, whereas this one is in memory before anything asks.
#define GNU_EFI_USE_MS_ABI
#include <efi.h>
#include <efilib.h>

#define DISK_NAME   "opt/seedvisor/disk"
#define APPLICATION L"\\EFI\\BOOT\\BOOTX64.EFI"
#define SECTOR      512

// QEMU's fw_cfg device (docs/specs/fw_cfg in its sources): a selector, and reading by DMA with
// everything big-endian.
#define FW_CFG_DMA_PORT  0x514
#define FW_CFG_DIRECTORY 0x19
#define DMA_ERROR        1U
#define DMA_READ         2U
#define DMA_SELECT       8U

struct dma_request {
    UINT32 control;
    UINT32 length;
    UINT64 address;
};

struct directory_entry {
    UINT32 size;
    UINT16 selector;
    UINT16 reserved;
    CHAR8 name[56];
};

struct disk_path {
    VENDOR_DEVICE_PATH vendor;
    EFI_DEVICE_PATH end;
};

static CHAR8 *disk;
static EFI_BLOCK_IO_MEDIA media = {
    .MediaPresent = TRUE, .ReadOnly = TRUE, .BlockSize = SECTOR, .IoAlign = 1};

static void write_port(UINT16 port, UINT32 value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

// Reads on in the file that was selected, after selecting the one of `select` if that is not 0.
static BOOLEAN fw_cfg_read(UINT16 select, void *target, UINT32 length)
{
    static volatile struct dma_request request;
    UINT32 control = DMA_READ | (select != 0 ? DMA_SELECT | (UINT32)select << 16 : 0);
    UINT64 at = (UINT64)&request;

    request.length = __builtin_bswap32(length);
    request.address = __builtin_bswap64((UINT64)target);
    request.control = __builtin_bswap32(control);
    write_port(FW_CFG_DMA_PORT, __builtin_bswap32((UINT32)(at >> 32)));
    write_port(FW_CFG_DMA_PORT + 4, __builtin_bswap32((UINT32)at));
    while ((request.control & ~__builtin_bswap32(DMA_ERROR)) != 0) {
    }
    return request.control == 0;
}

// Brings the disk into memory; its bytes, or 0.
static UINT64 fetch_disk(void)
{
    struct directory_entry entry;
    UINT32 count;
    UINT32 size;

    if (!fw_cfg_read(FW_CFG_DIRECTORY, &count, sizeof(count))) {
        return 0;
    }
    for (count = __builtin_bswap32(count); count > 0; count--) {
        if (!fw_cfg_read(0, &entry, sizeof(entry))) {
            return 0;
        }
        if (strcmpa(entry.name, (CHAR8 *)DISK_NAME) == 0) {
            EFI_PHYSICAL_ADDRESS pages;

            size = __builtin_bswap32(entry.size);
            if (EFI_ERROR(BS->AllocatePages(AllocateAnyPages, EfiBootServicesData,
                                            EFI_SIZE_TO_PAGES(size), &pages))) {
                return 0;
            }
            disk = (CHAR8 *)pages;
            return fw_cfg_read(__builtin_bswap16(entry.selector), disk, size) ? size : 0;
        }
    }
    return 0;
}

static EFI_STATUS EFIAPI reset(EFI_BLOCK_IO *this, BOOLEAN extended)
{
    (void)this;
    (void)extended;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI read_blocks(EFI_BLOCK_IO *this, UINT32 id, EFI_LBA first, UINTN size,
                                     void *buffer)
{
    (void)this;
    (void)id;
    if (size % SECTOR != 0) {
        return EFI_BAD_BUFFER_SIZE;
    }
    if (first > media.LastBlock || size / SECTOR > media.LastBlock - first + 1) {
        return EFI_INVALID_PARAMETER;
    }
    BS->CopyMem(buffer, disk + first * SECTOR, size);
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI write_blocks(EFI_BLOCK_IO *this, UINT32 id, EFI_LBA first, UINTN size,
                                      void *buffer)
{
    (void)this;
    (void)id;
    (void)first;
    (void)size;
    (void)buffer;
    return EFI_WRITE_PROTECTED;
}

static EFI_STATUS EFIAPI flush(EFI_BLOCK_IO *this)
{
    (void)this;
    return EFI_SUCCESS;
}

// Makes the disk known to the firmware, whose own drivers find partition and files.
static EFI_STATUS offer_disk(UINT64 size)
{
    static EFI_BLOCK_IO block_io = {.Revision = EFI_BLOCK_IO_INTERFACE_REVISION,
                                    .Media = &media,
                                    .Reset = reset,
                                    .ReadBlocks = read_blocks,
                                    .WriteBlocks = write_blocks,
                                    .FlushBlocks = flush};
    static struct disk_path path = {
        .vendor = {.Header = {HARDWARE_DEVICE_PATH, HW_VENDOR_DP, {sizeof(path.vendor), 0}},
                   .Guid = {0x5eed0000, 0, 0x4000, {0x80, 0, 0, 0, 0, 0, 0, 3}}},
        .end = {END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, {sizeof(path.end), 0}}};
    EFI_HANDLE handle = NULL;
    EFI_STATUS status;

    media.LastBlock = size / SECTOR - 1;
    status = BS->InstallProtocolInterface(&handle, &gEfiDevicePathProtocolGuid,
                                          EFI_NATIVE_INTERFACE, &path);
    if (!EFI_ERROR(status)) {
        status = BS->InstallProtocolInterface(&handle, &gEfiBlockIoProtocolGuid,
                                              EFI_NATIVE_INTERFACE, &block_io);
    }
    return EFI_ERROR(status) ? status : BS->ConnectController(handle, NULL, NULL, TRUE);
}

// Starts the application from the volume that has it.
static EFI_STATUS start_application(EFI_HANDLE self)
{
    EFI_STATUS status;
    EFI_HANDLE *volumes;
    UINTN count;

    status = BS->LocateHandleBuffer(ByProtocol, &gEfiSimpleFileSystemProtocolGuid, NULL, &count,
                                    &volumes);
    for (UINTN i = 0; !EFI_ERROR(status) && i < count; i++) {
        EFI_HANDLE application;

        if (!EFI_ERROR(BS->LoadImage(FALSE, self, FileDevicePath(volumes[i], (CHAR16 *)APPLICATION),
                                     NULL, 0, &application))) {
            return BS->StartImage(application, NULL, NULL);
        }
    }
    return EFI_ERROR(status) ? status : EFI_NOT_FOUND;
}

EFI_STATUS
efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_STATUS status = EFI_NOT_FOUND;
    UINT64 size;

    InitializeLib(image, system);
    size = fetch_disk();
    if (size >= SECTOR) {
        status = offer_disk(size);
    }
    if (!EFI_ERROR(status)) {
        status = start_application(image);
    }
    Print((CHAR16 *)L"ram-disk: %r\r\n", status);
    return status;
}
