# Compiler options of Drover's own code, as two interface targets: drover::options (what decides bits)
# and drover::warnings (never applied to other people's headers, which arrive as SYSTEM includes).

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# Paths are hashed relative to the source folder, so that a second checkout finds the first one's objects.
find_program(DROVER_CCACHE ccache)
if(DROVER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${DROVER_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
endif()

find_package(Threads REQUIRED)

add_library(drover_options INTERFACE)
add_library(drover::options ALIAS drover_options)
target_include_directories(drover_options INTERFACE ${CMAKE_SOURCE_DIR})
target_link_libraries(drover_options INTERFACE Threads::Threads)
target_compile_definitions(drover_options INTERFACE $<$<BOOL:${DROVER_WITH_MPI}>:DROVER_WITH_MPI=1>)
# No contraction: whether a*b+c is one rounding or two must not be the optimizer's choice. The files with
# explicit instruction sets say fma where they mean it.
target_compile_options(drover_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno -ffp-contract=off>)
if(DROVER_SANITIZE)
  target_compile_options(drover_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${DROVER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(drover_options INTERFACE -fsanitize=${DROVER_SANITIZE})
endif()

add_library(drover_warnings INTERFACE)
add_library(drover::warnings ALIAS drover_warnings)
target_compile_options(drover_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wno-missing-field-initializers>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${DROVER_WERROR}>>:-Werror>
  # g++ 12 sees overlapping copies inside std::string that are not there (GCC bug 105329).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>)
if(DROVER_SANITIZE)  # instrumented code hides initialisations from g++'s flow analysis
  target_compile_options(drover_warnings INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT DROVER_PLAIN)
  set(DROVER_X86 ON)
  target_compile_definitions(drover_options INTERFACE DROVER_X86=1)
else()
  set(DROVER_X86 OFF)
endif()

# Files named for an instruction set are the only ones compiled for it; all else runs on any x86-64.
set(DROVER_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(DROVER_FLAGS_avx512 ${DROVER_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12's own intrinsics start from deliberately uninitialised registers (GCC bug 105593).
  list(APPEND DROVER_FLAGS_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set(DROVER_FLAGS_avx512bf16 ${DROVER_FLAGS_avx512} -mavx512bf16)

# drover_instruction_sets(LIST): sets the flags of such files in LIST, or removes them where they cannot run.
function(drover_instruction_sets list)
  set(kept)
  foreach(source IN LISTS ${list})
    if(source MATCHES "_(avx2|avx512|avx512bf16)\\.cpp$")
      if(NOT DROVER_X86)
        continue()
      endif()
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS ${DROVER_FLAGS_${CMAKE_MATCH_1}})
    endif()
    list(APPEND kept ${source})
  endforeach()
  set(${list} ${kept} PARENT_SCOPE)
endfunction()
