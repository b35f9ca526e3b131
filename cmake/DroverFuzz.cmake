# Fuzz targets, in the preset `fuzz` alone: tests/fuzz/NAME_fuzz.cpp becomes fuzz/NAME_fuzz, linked with clang's
# libFuzzer, and fuzz/fuzz_seeds writes what each begins with. scripts/fuzz builds and runs them.
if(NOT DROVER_SANITIZE MATCHES "fuzzer-no-link")
  return()
endif()

# What the targets call, in a library of their own: most of the tree computes or communicates and is left out.
file(GLOB_RECURSE DROVER_FUZZED_SOURCES CONFIGURE_DEPENDS
  core/base/*.cpp core/tensor/*.cpp core/config/*.cpp core/files/*.cpp
  data/*.cpp
  checkpoint/*.cpp model/config.cpp model/hugging_face.cpp model/layouts.cpp optim/schedule.cpp
  parallel/mesh/layout.cpp parallel/mesh/mesh.cpp parallel/comm/pending.cpp parallel/comm/agreement.cpp
  parallel/pipeline/*.cpp train/plan.cpp launch/config/*.cpp)
list(FILTER DROVER_FUZZED_SOURCES EXCLUDE REGEX "/parallel/pipeline/pipeline\\.cpp$")
add_library(drover_fuzzed STATIC EXCLUDE_FROM_ALL ${DROVER_FUZZED_SOURCES})
target_link_libraries(drover_fuzzed
  PUBLIC drover::options
  PRIVATE drover::warnings drover::hdf5 drover::yaml drover::pcre2 drover::zstd drover::zlib drover::xxhash
          spdlog::spdlog fmt::fmt nlohmann_json::nlohmann_json)

add_custom_target(fuzz)
function(drover_fuzz_program name source)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE drover_fuzzed drover::warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  add_dependencies(fuzz ${name})
endfunction()

drover_fuzz_program(fuzz_seeds tests/fuzz/fuzz_seeds.cpp)
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/*_fuzz.cpp)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  drover_fuzz_program(${name} ${source})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
