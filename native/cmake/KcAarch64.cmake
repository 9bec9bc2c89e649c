# Toolchain of the preset aarch64: Debian's cross compiler (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross), and qemu-user
# to run what it makes, with the cross C library as its root. KcCpp.cmake finds that for C++ (g++-aarch64-linux-gnu), if
# there is one.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(KC_CROSS_ROOT /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;${KC_CROSS_ROOT})
set(CMAKE_FIND_ROOT_PATH "${KC_CROSS_ROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
