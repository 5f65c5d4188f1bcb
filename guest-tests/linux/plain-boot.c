// Starts the guest's kernel without a hypervisor, through its EFI stub, for comparison of ticks.
//
// A UEFI application in Seedvisor's place on the image. The whole of its configuration file is the
// kernel's command line, on which initrd= names the initramfs for the EFI stub.
#include <efi.h>
#include <efilib.h>

#define CONFIGURATION L"EFI\\seedvisor\\seedvisor.conf"
#define KERNEL        L"\\vmlinuz"
#define LINE_SIZE     1024

static UINT64 read_tsc(void)
{
    UINT32 low;
    UINT32 high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (UINT64)high << 32 | low;
}

// The configuration's first line, as UEFI wants it; returns its bytes with the terminator, or 0.
static UINTN read_command_line(EFI_HANDLE volume, CHAR16 *line)
{
    static CHAR8 text[LINE_SIZE];
    EFI_FILE_HANDLE root = LibOpenRoot(volume);
    EFI_FILE_HANDLE file;
    UINTN size = LINE_SIZE - 1;
    UINTN length = 0;

    if (root == NULL ||
        EFI_ERROR(uefi_call_wrapper(root->Open, 5, root, &file, (CHAR16 *)CONFIGURATION,
                                    (UINT64)EFI_FILE_MODE_READ, (UINT64)0)) ||
        EFI_ERROR(uefi_call_wrapper(file->Read, 3, file, &size, text))) {
        return 0;
    }
    while (length < size && text[length] != '\n' && text[length] != '\r') {
        line[length] = text[length];
        length++;
    }
    line[length] = 0;
    return (length + 1) * sizeof(CHAR16);
}

EFI_STATUS
efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static CHAR16 line[LINE_SIZE];
    EFI_LOADED_IMAGE *self;
    EFI_LOADED_IMAGE *kernel;
    EFI_HANDLE handle;
    EFI_STATUS status;

    InitializeLib(image, system);
    status = uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol, (void **)&self);
    if (EFI_ERROR(status)) {
        return status;
    }
    status = uefi_call_wrapper(BS->LoadImage, 6, FALSE, image,
                               FileDevicePath(self->DeviceHandle, (CHAR16 *)KERNEL), NULL, (UINTN)0,
                               &handle);
    if (!EFI_ERROR(status)) {
        status = uefi_call_wrapper(BS->HandleProtocol, 3, handle, &LoadedImageProtocol,
                                   (void **)&kernel);
    }
    if (EFI_ERROR(status)) {
        Print((CHAR16 *)L"plain-boot: the kernel cannot be loaded: %r\r\n", status);
        return status;
    }
    kernel->LoadOptions = line;
    kernel->LoadOptionsSize = (UINT32)read_command_line(self->DeviceHandle, line);
    Print((CHAR16 *)L"plain-boot: kernel loaded, EFI stub starts at tsc %ld\r\n", read_tsc());
    status = uefi_call_wrapper(BS->StartImage, 3, handle, NULL, NULL);
    Print((CHAR16 *)L"plain-boot: the kernel came back: %r\r\n", status);
    return status;
}
