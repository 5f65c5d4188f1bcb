/* AMD SVM behind the neutral table. */
#ifndef ARCH_X86_SVM_SVM_H
#define ARCH_X86_SVM_SVM_H

#include "vmm/virtualization.h"

extern const struct virtualization svm_virtualization;

#endif
