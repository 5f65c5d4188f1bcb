// The guest's devices as ACPI describes them. The addresses are those of arch/x86/guest/layout.h;
// guest-tests/host/test_acpi.c holds the two together.
DefinitionBlock ("", "DSDT", 2, "SEEDV", "SEEDVSOR", 1)
{
    // SLP_TYPa/b of soft-off: LAYOUT_S5_SLEEP_TYPE.
    Name (\_S5, Package () { 5, 5, 0, 0 })

    // _STA of the entropy device. acpi.c clears this byte for a guest without one.
    Name (\RNGS, 0x0F)

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501")) // 16550A
            Name (_UID, 1)
            // Extended interrupts name a GSI: the trigger mode is what stands here, whereas that
            // of a legacy IRQ descriptor would depend on overrides in the MADT.
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
            })
        }

        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00")) // MC146818
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 1, 2)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 8 }
            })
        }

        Device (RNG0)
        {
            Name (_HID, "LNRO0005") // virtio-mmio
            Name (_UID, 0)
            Name (_CCA, 1)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xD0000000, 0x00000200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 16 }
            })
            Method (_STA)
            {
                Return (RNGS)
            }
        }
    }
}
