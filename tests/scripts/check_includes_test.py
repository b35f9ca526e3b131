"""scripts/check_includes.py finds what it is there to find, and passes the tree it stands in."""

import os
import pathlib
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("DROVER_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "scripts"))
import check_includes  # noqa: E402  (found through the path just set)

GOOD = {
    "core/base/a.h": "#pragma once\n#include <vector>\n",
    "parallel/comm/b.h": '#pragma once\n#include "core/base/a.h"\n',
    "parallel/comm/b.cpp": '#include "parallel/comm/b.h"\n#include <mpi.h>\n',
    "tests/parallel/comm/b_test.cpp": '#include "parallel/comm/b.h"\n',
}


class CheckIncludes(unittest.TestCase):
    def faults(self, **changes):
        changed = {name.replace("__", "/").replace("_cpp", ".cpp").replace("_h", ".h"): text
                   for name, text in changes.items()}
        return check_includes.faults({**GOOD, **changed})

    def assert_one(self, found, *words):
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_a_tree_within_the_table_passes(self):
        self.assertEqual(self.faults(), [])

    def test_a_folder_outside_the_table_is_named(self):
        self.assert_one(self.faults(model__c_h="#pragma once\n",
                                    parallel__comm__d_cpp='#include "model/c.h"\n'), "parallel may not include model")

    def test_core_includes_nothing_of_ours(self):
        found = self.faults(core__base__d_cpp='#include "parallel/comm/b.h"\n')
        self.assertTrue(any("core may not include parallel" in f for f in found), found)

    def test_nothing_includes_tests(self):
        self.assert_one(self.faults(tests__s_h="#pragma once\n", train__d_cpp='#include "tests/s.h"\n'),
                        "train may not include tests")

    def test_a_later_room_is_not_included(self):
        self.assert_one(self.faults(core__ops__o_h="#pragma once\n", core__base__d_cpp='#include "core/ops/o.h"\n'),
                        "'base' comes before 'ops'")

    def test_a_room_that_is_not_in_the_table_is_named(self):
        self.assert_one(self.faults(core__attic__d_cpp=""), "core has no room 'attic'")
        self.assert_one(self.faults(tests__core__attic__d_cpp=""), "core has no room 'attic'")
        self.assert_one(self.faults(parallel__d_cpp=""), "parallel has no room ''")

    def test_the_26th_source_file_of_a_room_is_found(self):
        room = {f"data__unicode__u{number}_cpp": "" for number in range(25)}
        self.assertEqual(self.faults(**room, data__unicode__u_table_cpp=""), [])
        self.assert_one(self.faults(**room, data__unicode__u_cpp=""), "data/unicode: 26 source files")

    def test_a_cycle_between_files_is_found(self):
        self.assert_one(self.faults(core__base__x_h='#pragma once\n#include "core/base/y.h"\n',
                                    core__base__y_h='#pragma once\n#include "core/base/x.h"\n'),
                        "core/base/x.h -> core/base/y.h -> core/base/x.h")

    def test_a_cycle_between_folders_is_found(self):
        found = self.faults(model__m_h="#pragma once\n", model__n_h='#pragma once\n#include "parallel/comm/b.h"\n',
                            parallel__comm__q_cpp='#include "model/m.h"\n')
        self.assertTrue(any("folders include each other: model -> parallel -> model" in f for f in found), found)

    def test_a_header_without_pragma_once_is_found(self):
        self.assert_one(self.faults(core__base__z_h="int x;\n"), "core/base/z.h: no #pragma once")

    def test_the_501st_line_is_found(self):
        self.assertEqual(self.faults(core__base__long_cpp="\n" * 500), [])
        self.assert_one(self.faults(core__base__long_cpp="\n" * 501), "501 lines")

    def test_a_heavy_library_in_a_header_is_found(self):
        self.assert_one(self.faults(core__base__log_h="#pragma once\n#include <spdlog/spdlog.h>\n"), "includes spdlog")

    def test_a_relative_include_is_found(self):
        self.assert_one(self.faults(core__base__r_cpp='#include "a.h"\n'), "path from the repository root")

    def test_an_include_of_a_missing_file_is_found(self):
        self.assert_one(self.faults(core__base__r_cpp='#include "core/base/gone.h"\n'), "does not exist")

    def test_the_tree_is_clean(self):
        self.assertEqual(check_includes.faults(check_includes.sources(ROOT)), [])


if __name__ == "__main__":
    unittest.main()
