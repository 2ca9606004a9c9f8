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
endfunction()

# quarry_test(NAME SOURCES... [LAYERS ...] [LABELS ...])
# One cmocka program, run by CTest under NAME. Label `concurrent` has it run under TSan as well.
function(quarry_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LAYERS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  foreach(layer ${arg_LAYERS})
    target_link_libraries(${name} PRIVATE quarry_${layer})
  endforeach()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 900)
endfunction()
