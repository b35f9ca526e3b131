# `cmake --install build/release --prefix P`: the program, its pages and its configurations. The program can be
# moved; libraries that were found outside the system's folders keep their places in its RUNPATH.
include(GNUInstallDirs)
install(TARGETS drover RUNTIME)
install(FILES README.md CONTRIBUTING.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/drover)
install(PROGRAMS scripts/slurm/train.sbatch DESTINATION ${CMAKE_INSTALL_DATADIR}/drover)
