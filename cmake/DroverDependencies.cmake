# Every library from outside, under one name each. Looked up by header and library where the packaged CMake
# files are missing or ask for more than Drover uses (Debian's oneDNN demands OpenCL). All of it honours
# CMAKE_PREFIX_PATH.

# drover_missing(NAME WHAT): ends with what to do.
set(DROVER_REMEDY_openmpi ", or build for one process with -DDROVER_WITH_MPI=OFF")
function(drover_missing name what)
  message(FATAL_ERROR "${name} not found (${what}): run scripts/setup, or point CMAKE_PREFIX_PATH at its "
                      "installation${DROVER_REMEDY_${name}}")
endfunction()

# drover_external(NAME HEADER LIBRARIES [SUFFIX...]): drover::NAME from a header and the first library found.
function(drover_external name header library)
  find_path(DROVER_${name}_INCLUDE ${header} PATH_SUFFIXES ${ARGN})
  find_library(DROVER_${name}_LIBRARY NAMES ${library} PATH_SUFFIXES ${ARGN})
  mark_as_advanced(DROVER_${name}_INCLUDE DROVER_${name}_LIBRARY)
  if(NOT DROVER_${name}_INCLUDE OR NOT DROVER_${name}_LIBRARY)
    drover_missing(${name} "${header}, lib${library}")
  endif()
  add_library(drover::${name} UNKNOWN IMPORTED)
  set_target_properties(drover::${name} PROPERTIES
    IMPORTED_LOCATION ${DROVER_${name}_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${DROVER_${name}_INCLUDE})
endfunction()

drover_external(dnnl dnnl.hpp dnnl)
drover_external(pcre2 pcre2.h pcre2-8)
drover_external(xxhash xxhash.h xxhash)
drover_external(zstd zstd.h zstd)
drover_external(zlib zlib.h z)
# The serial library: bulk data never passes through HDF5, and the parallel build is not thread-safe.
drover_external(hdf5 hdf5.h "hdf5_serial;hdf5" hdf5/serial)

foreach(package fmt spdlog CLI11 nlohmann_json yaml-cpp)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    drover_missing(${package} ${package}Config.cmake)
  endif()
endforeach()

add_library(drover_yaml INTERFACE)
add_library(drover::yaml ALIAS drover_yaml)
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(drover_yaml INTERFACE yaml-cpp::yaml-cpp)
else()  # before 0.8
  target_link_libraries(drover_yaml INTERFACE yaml-cpp)
endif()

# oneDNN runs on OpenMP's threads; Drover only tells it how many (one), so no file is compiled with -fopenmp. Clang's
# own library would be a second one beside the one that oneDNN is linked to.
add_library(drover_gomp INTERFACE)
add_library(drover::gomp ALIAS drover_gomp)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(drover_gomp INTERFACE ${OpenMP_CXX_LIBRARIES})
else()
  find_library(DROVER_gomp_LIBRARY NAMES gomp libgomp.so.1 REQUIRED)
  mark_as_advanced(DROVER_gomp_LIBRARY)
  target_link_libraries(drover_gomp INTERFACE ${DROVER_gomp_LIBRARY})
endif()

add_library(drover_mpi INTERFACE)
add_library(drover::mpi ALIAS drover_mpi)
if(DROVER_WITH_MPI)
  # The C interface: the C++ bindings are long dead, and without them one binary runs on Open MPI 4 and 5.
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    target_link_libraries(drover_mpi INTERFACE MPI::MPI_C)
  else()  # mpicc of a package that was unpacked and not installed tells of places that are not there
    set(arch lib/${CMAKE_LIBRARY_ARCHITECTURE})
    drover_external(openmpi mpi.h mpi openmpi/include ${arch}/openmpi/include ${arch}/openmpi/lib)
    target_link_libraries(drover_mpi INTERFACE drover::openmpi)
  endif()
  target_compile_definitions(drover_mpi INTERFACE OMPI_SKIP_MPICXX=1 MPICH_SKIP_MPICXX=1)
endif()
