# How Quarry's parts are declared: layers, shared libraries, tests and fuzz targets.

# quarry_layer(NAME SOURCES... [LAYERS below...] [LIBRARIES outside...])
# Defines one static library for the folder it is called in. Includes are written from src/
# ("os/os.h") and from include/ ("quarry/status.h").
function(quarry_layer name)
  cmake_parse_arguments(arg "" "" "SOURCES;LAYERS;LIBRARIES" ${ARGN})
  add_library(quarry_${name} STATIC ${arg_SOURCES})
  target_include_directories(quarry_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src
                                                   ${PROJECT_SOURCE_DIR}/include)
  foreach(layer ${arg_LAYERS})
    target_link_libraries(quarry_${name} PUBLIC quarry_${layer})
  endforeach()
  target_link_libraries(quarry_${name} PUBLIC ${arg_LIBRARIES})
  set_target_properties(quarry_${name} PROPERTIES QUARRY_OUTSIDE "${arg_LIBRARIES}")
endfunction()

# The number in the libraries' names, which rises when a program that is linked to one must be built again.
set(QUARRY_ABI 1)

# quarry_shared_library(NAME MAP file LAYERS...)
# Defines the shared library libNAME.so from the objects of those layers that exist, and nothing at
# all when none does. It shows the linker only what the version script MAP lists.
function(quarry_shared_library name)
  cmake_parse_arguments(arg "" "MAP" "LAYERS" ${ARGN})
  foreach(layer ${arg_LAYERS})
    if(TARGET quarry_${layer})
      list(APPEND objects $<TARGET_OBJECTS:quarry_${layer}>)
      get_target_property(libraries quarry_${layer} QUARRY_OUTSIDE)
      list(APPEND outside ${libraries})
    endif()
  endforeach()
  if(NOT objects)
    return()
  endif()
  add_library(${name} SHARED ${objects})
  target_link_libraries(${name} PRIVATE ${outside})
  target_link_options(${name} PRIVATE -Wl,--version-script=${arg_MAP})
  if(NOT QUARRY_SANITIZE) # clang resolves the sanitizers' symbols from the program
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${name} PROPERTIES SOVERSION ${QUARRY_ABI} VERSION ${QUARRY_ABI}.${PROJECT_VERSION}
                                           LINK_DEPENDS ${arg_MAP})
endfunction()

# quarry_add_test(NAME LABELS COMMAND...)
# Names the test <preset>.NAME, so that one CTest run may hold several presets. No time limit of its
# own: CTest's default (the top CMakeLists.txt) or --timeout holds, and a soak may raise it.
function(quarry_add_test name labels)
  add_test(NAME ${QUARRY_TEST_PREFIX}${name} ${ARGN})
  set_tests_properties(${QUARRY_TEST_PREFIX}${name} PROPERTIES LABELS "${labels}")
  if("wide" IN_LIST labels)
    # They begin first, so that none of them is left alone in the end.
    set_tests_properties(${QUARRY_TEST_PREFIX}${name} PROPERTIES PROCESSORS 2 COST 60)
  endif()
endfunction()

# quarry_rigs(PROGRAM SOURCES...)
# Adds to a program of tests what others are made with as well: a rig is compiled once, as an object
# library named by its path, whichever tests ask for it. It may depend on no definition of theirs.
function(quarry_rigs program)
  foreach(source ${ARGN})
    get_filename_component(path ${source} ABSOLUTE)
    file(RELATIVE_PATH rig ${PROJECT_SOURCE_DIR}/tests ${path})
    string(REGEX REPLACE "[^A-Za-z0-9_]" "_" rig "rig_${rig}")
    if(NOT TARGET ${rig})
      add_library(${rig} OBJECT EXCLUDE_FROM_ALL ${path})
      target_include_directories(${rig} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src
                                                ${PROJECT_SOURCE_DIR}/include)
    endif()
    target_sources(${program} PRIVATE $<TARGET_OBJECTS:${rig}>)
  endforeach()
endfunction()

# quarry_test(NAME SOURCES... [RIGS ...] [LAYERS ...] [LABELS ...] [ENVIRONMENT VAR=value...])
# One cmocka program, run by CTest; RIGS are for quarry_rigs(). Labels with a meaning:
#   concurrent  run under TSan as well, where nothing else is built or run
#   soak        reads QUARRY_SOAK_SECONDS, and is what `make soak` runs for longer
#   wide        keeps several processors busy, so it takes the place of two
function(quarry_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;RIGS;LAYERS;LABELS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  quarry_rigs(${name} ${arg_RIGS})
  foreach(layer ${arg_LAYERS})
    target_link_libraries(${name} PRIVATE quarry_${layer})
  endforeach()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE cmocka)
  target_link_options(${name} PRIVATE ${QUARRY_TEST_LINK})
  if(QUARRY_SANITIZE MATCHES thread AND NOT "concurrent" IN_LIST arg_LABELS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  else()
    quarry_add_test(${name} "${arg_LABELS}" COMMAND ${QUARRY_TEST_LAUNCHER} $<TARGET_FILE:${name}>)
    set_tests_properties(${QUARRY_TEST_PREFIX}${name} PROPERTIES ENVIRONMENT "${arg_ENVIRONMENT}")
  endif()
endfunction()

# quarry_tree_test(NAME COMMAND...)
# A test of the source tree or of the installed tree, which no sanitizer would judge differently.
# Call it under if(QUARRY_TREE_TESTS).
function(quarry_tree_test name)
  quarry_add_test(${name} tree ${ARGN})
endfunction()

# quarry_preload_test(NAME SOURCES... [MODULES target...] [LABELS ...])
# One program that links nothing of Quarry, run with libquarry-malloc preloaded when that library is
# built, and under every malloc of QUARRY_PRELOAD_PEERS besides. It is compiled so that no call of
# malloc is known to the compiler. MODULES are loaded while it runs, from beside the libraries.
# Sanitizers have a malloc of their own: call it under if(QUARRY_PRELOAD_TESTS).
function(quarry_preload_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;MODULES;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_compile_options(${name} PRIVATE -fno-builtin
                                         $<$<COMPILE_LANGUAGE:CXX>:-fsized-deallocation>)
  if(CMAKE_C_COMPILER_ID STREQUAL GNU) # which sees misuse; here it is meant
    target_compile_options(${name} PRIVATE -Wno-use-after-free -Wno-alloc-size-larger-than
                                           -Wno-free-nonheap-object)
  endif()
  target_link_libraries(${name} PRIVATE cmocka)
  if(arg_MODULES)
    add_dependencies(${name} ${arg_MODULES})
  endif()
  quarry_add_preload_tests(${name} "${arg_LABELS}" COMMAND ${name})
endfunction()

# Names NAME the test of Quarry's malloc and NAME.under.PEER those of others.
function(quarry_add_preload_tests name labels)
  if(TARGET quarry-malloc)
    quarry_add_test(${name} "${labels}" ${ARGN})
    set_tests_properties(${QUARRY_TEST_PREFIX}${name} PROPERTIES
      ENVIRONMENT LD_PRELOAD=$<TARGET_FILE:quarry-malloc>)
  endif()
  foreach(peer ${QUARRY_PRELOAD_PEERS})
    quarry_add_test(${name}.under.${peer} "${labels};peer" ${ARGN})
    if(NOT peer STREQUAL glibc)
      set_tests_properties(${QUARRY_TEST_PREFIX}${name}.under.${peer} PROPERTIES
        ENVIRONMENT LD_PRELOAD=${peer})
    endif()
  endforeach()
endfunction()

# quarry_fuzz(NAME SOURCES... [RIGS ...] [LAYERS ...])
# One libFuzzer target, fuzz_NAME, with its corpus in fuzz/corpus/NAME. In the other presets the
# same source is linked with fuzz/replay.c and CTest feeds it the corpus: what fuzzing found once
# stays found.
function(quarry_fuzz name)
  cmake_parse_arguments(arg "" "" "SOURCES;RIGS;LAYERS" ${ARGN})
  add_executable(fuzz_${name} ${arg_SOURCES})
  quarry_rigs(fuzz_${name} ${arg_RIGS})
  foreach(layer ${arg_LAYERS})
    target_link_libraries(fuzz_${name} PRIVATE quarry_${layer})
  endforeach()
  if(QUARRY_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  elseif(QUARRY_SANITIZE MATCHES thread)
    set_target_properties(fuzz_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  else()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay.c)
    target_link_options(fuzz_${name} PRIVATE ${QUARRY_TEST_LINK})
    quarry_add_test(fuzz_${name} fuzz COMMAND fuzz_${name} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
  endif()
endfunction()
