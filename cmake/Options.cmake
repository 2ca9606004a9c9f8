# Compiler settings for every target, and the options that the presets set.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU extensions: statement attributes and the C library's Linux calls
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

option(QUARRY_WERROR "Warnings are errors" OFF)
option(QUARRY_DEBUG_CHECKS "Q_DCHECK and lock-rank checks" OFF)
option(QUARRY_COVERAGE "Instrument for gcov" OFF)
option(QUARRY_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(QUARRY_CHECK_ONLY "Compilers read every source and warn; nothing that they would make is made" OFF)
option(QUARRY_REPRODUCIBLE "No path of this folder in what is made: the same bytes wherever it is built" OFF)
set(QUARRY_SANITIZE "" CACHE STRING "Comma list for -fsanitize=")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wvla -Wundef -Wcast-qual -Wformat=2
                    -Wswitch-enum)
add_compile_options("$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>")
add_compile_options(-fno-omit-frame-pointer -momit-leaf-frame-pointer -fno-strict-aliasing -ftls-model=initial-exec)
# What the shortest functions are compiled with besides. A sanitizer's build takes stacks by frame pointers
# (src/mem/unwind.c), so that there every function has one.
set(QUARRY_NO_FRAMES -fomit-frame-pointer)
if(QUARRY_SANITIZE)
  set(QUARRY_NO_FRAMES)
endif()
# A program depends at run time on the libraries it calls, not on all that its layers may call.
add_link_options(-Wl,--as-needed)
# Tests are linked by hundreds, in half of the time by lld: there, and in all that a sanitizer's build
# makes. What is shipped has the system's linker, which also says what a layer forgot to ask for.
find_program(QUARRY_LLD ld.lld)
set(QUARRY_TEST_LINK)
if(QUARRY_LLD AND NOT QUARRY_COVERAGE AND NOT CMAKE_CROSSCOMPILING)
  set(QUARRY_TEST_LINK -fuse-ld=lld -Wl,--build-id=sha1)
endif()
# x86-64-v2 (every x86 server since 2009) has POPCNT, which the bitmaps live on.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v2)
endif()
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety)
endif()
if(QUARRY_REPRODUCIBLE)
  # CMake names sources from the build's folder on, but below the root of the file system in full.
  file(RELATIVE_PATH sources_from_build ${CMAKE_BINARY_DIR} ${PROJECT_SOURCE_DIR})
  string(REGEX REPLACE "/$" "" sources_from_build "${sources_from_build}")
  add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=${sources_from_build}=.)
  set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
endif()
if(QUARRY_WERROR)
  add_compile_options(-Werror)
endif()
if(QUARRY_DEBUG_CHECKS)
  add_compile_definitions(QUARRY_DEBUG_CHECKS=1)
endif()
if(QUARRY_SANITIZE)
  add_compile_options(-fsanitize=${QUARRY_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUARRY_SANITIZE} ${QUARRY_TEST_LINK})
endif()
if(QUARRY_COVERAGE)
  add_compile_definitions(QUARRY_COVERAGE=1)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
if(QUARRY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# All warnings that we ask for, and the thread-safety analysis, are given by a compiler's front end: half of
# the work of compiling, and linking, tells nothing more. Every target is there, as an empty file.
if(QUARRY_CHECK_ONLY)
  foreach(language C CXX)
    set(CMAKE_${language}_COMPILE_OBJECT
        "<CMAKE_${language}_COMPILER> <DEFINES> <INCLUDES> <FLAGS> -fsyntax-only <SOURCE>" "touch <OBJECT>")
    foreach(kind LINK_EXECUTABLE CREATE_SHARED_LIBRARY CREATE_SHARED_MODULE CREATE_STATIC_LIBRARY)
      set(CMAKE_${language}_${kind} "touch <TARGET>")
    endforeach()
    set(CMAKE_${language}_ARCHIVE_CREATE "touch <TARGET>")
    set(CMAKE_${language}_ARCHIVE_APPEND "")
    set(CMAKE_${language}_ARCHIVE_FINISH "")
  endforeach()
endif()

# Tests. Names begin with the preset, for `make test` runs several presets in one CTest run.
get_filename_component(QUARRY_TEST_PREFIX ${CMAKE_BINARY_DIR} NAME)
string(APPEND QUARRY_TEST_PREFIX ".")
# Tests of the tree (layers, headers, install) say the same in every preset: the plain ones run them.
set(QUARRY_TREE_TESTS ON)
if(QUARRY_SANITIZE OR QUARRY_COVERAGE OR QUARRY_FUZZ)
  set(QUARRY_TREE_TESTS OFF)
endif()
# A malloc that is preloaded can be tested only where no sanitizer brings its own.
set(QUARRY_PRELOAD_TESTS ON)
if(QUARRY_SANITIZE OR QUARRY_FUZZ)
  set(QUARRY_PRELOAD_TESTS OFF)
endif()
set(QUARRY_PRELOAD_PEERS "" CACHE STRING
    "Run the tests of malloc under these too: glibc, or libraries such as libjemalloc.so.2")
# gcc 12's TSan refuses to start when the kernel randomises more address bits than it expects.
if(QUARRY_SANITIZE MATCHES thread)
  execute_process(COMMAND setarch -R true RESULT_VARIABLE refused OUTPUT_QUIET ERROR_QUIET)
  if(refused EQUAL 0)
    set(QUARRY_TEST_LAUNCHER setarch -R)
  endif()
endif()
# Another processor's programs are run by an emulator.
if(CMAKE_CROSSCOMPILING)
  set(QUARRY_TEST_LAUNCHER ${PROJECT_SOURCE_DIR}/tests/unit/emulated ${CMAKE_CROSSCOMPILING_EMULATOR})
endif()
