// The main function of every test executable without MPI; compiled once, because it is most of Catch.
#define CATCH_CONFIG_RUNNER
#include "tests/support/test_support.h"

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
