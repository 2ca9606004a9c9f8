# Cross compilation for 64-bit ARM: Debian's compiler, its libraries from a folder that tools/sysroot made, programs
# run by qemu's user emulation. The preset `aarch64` uses it; the folder is build/sysroot-arm64, or QUARRY_SYSROOT.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
if(DEFINED ENV{QUARRY_SYSROOT})
  set(CMAKE_SYSROOT $ENV{QUARRY_SYSROOT})
else()
  set(CMAKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot-arm64)
endif()
get_filename_component(CMAKE_SYSROOT ${CMAKE_SYSROOT} ABSOLUTE)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# Its tables grow with the address space that has been mapped, of which a heap reserves 64 GiB; with less a heap makes do.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -R 64G -L ${CMAKE_SYSROOT})

# Libraries are the other machine's, programs that the build runs are this one's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
