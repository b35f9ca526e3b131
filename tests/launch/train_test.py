#!/usr/bin/env python3
"""The program as its users start it: one rank, mpirun, resumes, wrong input. Real processes, real files."""

import json
import os
import subprocess

from process_tests import skips
from training_run import DROVER, STEPS, TINY, TrainingTest


class TrainTest(TrainingTest):
    def test_the_tiny_configuration_trains_and_its_loss_falls(self):
        run = self.reference(**{"train.steps": 20})
        losses = run.losses()
        self.assertEqual(sorted(losses), list(range(1, 21)))
        self.assertLess(losses[20], losses[1] - 0.3)
        result = run.result()
        self.assertEqual((result["exit_reason"], result["step"]), ("done", 20))
        self.assertEqual(len(result["weight_hash"]), 32)

    def test_the_same_command_again_gives_the_same_hash_elsewhere_and_does_nothing_here(self):
        first = self.reference()
        again = self.run_in("again")
        again.train()
        self.assertEqual(again.result()["weight_hash"], first.result()["weight_hash"])
        before = len(again.steps())
        again.train()
        self.assertEqual(len(again.steps()), before)
        self.assertEqual(again.result()["weight_hash"], first.result()["weight_hash"])

    def test_a_resume_from_any_step_ends_with_the_hash_of_a_run_that_never_stopped(self):
        run = self.run_in("all", **{"checkpoint.every": 1, "checkpoint.keep": 100})
        run.train()
        whole = run.result()["weight_hash"]
        for step in reversed(range(1, STEPS)):
            run.train("--resume-from", str(step))
            self.assertEqual(run.result()["weight_hash"], whole, f"resumed from step {step}")

    def test_a_run_goes_on_with_another_number_of_ranks(self):
        settings = {"train.dtype": "float64", "checkpoint.every": 2}
        one = self.reference(**settings)
        run = self.run_in("changing", **settings)
        run.train(ranks=2)
        run.train("--resume-from", "4", ranks=3)
        run.train("--resume-from", "6")
        for step, loss in one.losses().items():
            self.assertAlmostEqual(run.losses()[step] / loss, 1, delta=1e-9)

    def test_a_run_on_all_axes_goes_on_in_another_layout_and_back(self):
        exact = {"train.dtype": "float64", "checkpoint.every": 2}
        cube = {"parallel.tensor": 2, "parallel.context": 2, "parallel.pipeline": 2}
        whole = self.run_in("whole", **exact)
        whole.train(ranks=8, **cube)
        other = self.run_in("other", **exact)
        other.train(ranks=8, **cube)
        other.train("--resume-from", "4", ranks=4, **{"parallel.tensor": 4})
        for step, loss in other.losses().items():
            self.assertAlmostEqual(loss / whole.losses()[step], 1, delta=1e-9)
        other.train("--resume-from", "4", ranks=8, **cube)
        self.assertEqual(other.result()["weight_hash"], whole.result()["weight_hash"])

    def test_a_layout_that_does_not_fit_is_refused_with_what_would(self):
        run = self.run_in("refused")
        for settings, ranks, words in (({"parallel.tensor": 8}, 8, "num_attention_heads"),
                                       ({"parallel.context": 3, "parallel.tensor": 1}, 3, "nearest: 126 and 129"),
                                       ({"parallel.pipeline": 8}, 8, "parallel.pipeline"),
                                       ({"parallel.schedule": "zigzag"}, 2, "zb-v")):
            self.assertIn(words, run.train(ranks=ranks, code=2, **settings))
        self.assertFalse(run.folder.exists())

    def test_two_ranks_give_one_hash_through_mpirun_again_and_again(self):
        hashes = set()
        for number in range(3):
            run = self.run_in(f"two_{number}")
            run.train(ranks=2)
            hashes.add(run.result()["weight_hash"])
        self.assertEqual(len(hashes), 1)

    def test_a_setting_that_may_not_change_is_named_with_both_values(self):
        run = self.reference()
        output = run.train(code=2, **{"run.seed": 77})
        self.assertIn("run.seed", output)
        self.assertIn("77", output)
        run.train(**{"checkpoint.keep": 5})

    def test_a_wrong_configuration_ends_every_rank_with_code_2_and_one_message(self):
        for ranks in (1, 2):
            output = self.run_in("wrong").train(ranks=ranks, code=2, **{"train.sequence_lenght": 8})
            self.assertEqual(output.count("unknown key"), 1, output)
            self.assertIn("train.sequence_length", output)

    def test_a_directory_that_holds_a_run_is_not_fresh(self):
        output = self.reference().train("--fresh", code=2)
        self.assertIn("--fresh", output)

    def test_resuming_from_a_step_that_is_not_there_moves_nothing(self):
        run = self.run_in("typo", **{"checkpoint.every": 2})
        run.train()
        steps = [name.split("/")[1] for name in run.steps_saved()]
        self.assertIn("--resume-from 3", run.train("--resume-from", "3", code=3))
        self.assertEqual(run.steps_saved(), [f"attempt_1.closed/{step}" for step in steps])
        self.assertFalse((run.folder / "set_aside").exists())
        run.train("--resume-from", "step_0000000004")
        self.assertTrue(any(run.folder.glob("set_aside/*/attempt_1/step_*8")))

    def test_attempts_commit_into_folders_of_their_own_and_close_those_before(self):
        run = self.run_in("attempts", **{"checkpoint.every": 2})
        run.train()
        self.assertEqual((run.folder / "checkpoints/LATEST").read_text(), "attempt_1/step_0000000008\n")
        run.train("--resume-from", "4")
        self.assertEqual(run.steps_saved(), ["attempt_1.closed/step_0000000004", "attempt_2/step_0000000006",
                                             "attempt_2/step_0000000008"])
        self.assertEqual((run.folder / "checkpoints/LATEST").read_text(), "attempt_2/step_0000000008\n")

    def test_a_first_start_that_failed_does_not_bind_the_next_one(self):
        run = self.run_in("failed")
        self.assertIn("missing.h5", run.train(code=3, **{"data.holdout": "missing.h5", "run.seed": 5}))
        run.train("--fresh")

    def test_a_device_that_cannot_run_yet_is_refused(self):
        self.assertIn("device", self.run_in("cuda").train(code=2, device="cuda"))

    def test_a_checkpoint_is_not_evaluated_as_another_model(self):
        run = self.reference()
        command = [DROVER, "eval", TINY, "--set", f"run.dir={run.folder}", "model.rope_theta=10000"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("model.rope_theta", done.stdout)

    def test_a_profile_shows_every_rank_and_what_was_in_flight_while_it_computed_and_changes_no_bit(self):
        layout = {"parallel.tensor": 2}
        watched, plain = self.run_in("watched", **layout), self.run_in("plain", **layout)
        file = watched.folder.with_suffix(".json")
        said = watched.train("--profile", str(file), ranks=2)
        plain.train(ranks=2)
        self.assertEqual(watched.result()["weight_hash"], plain.result()["weight_hash"])
        self.assertIn(f"profile of this step in {file}", said)
        events = json.loads(file.read_text())["traceEvents"]
        for rank in (0, 1):
            mine = [event for event in events if event["pid"] == rank]
            flights = {event["id"]: [event["ts"]] for event in mine if event["ph"] == "b"}
            for event in mine:
                if event["ph"] == "e":
                    flights[event["id"]].append(event["ts"])
            products = [(event["ts"], event["ts"] + event["dur"]) for event in mine
                        if event["ph"] == "X" and event["name"].startswith("products")]
            self.assertTrue(all(len(ends) == 2 and ends[0] <= ends[1] for ends in flights.values()))
            self.assertTrue(any(start <= begin and end <= stop for start, stop in flights.values()
                                for begin, end in products), "no product was computed while something was in flight")

    def test_a_run_too_short_for_a_profile_says_so(self):
        run = self.run_in("short", **{"train.steps": 1, "optimizer.warmup_steps": 0})
        file = run.folder.with_suffix(".json")
        self.assertIn("no profile was written", run.train("--profile", str(file)))
        self.assertFalse(file.exists())

    def test_a_folder_may_end_in_a_slash(self):
        run = self.run_in("slash")
        run.train(**{"run.dir": str(run.folder) + "/"})
        self.assertEqual(run.result()["exit_reason"], "done")

    def test_processes_that_mpi_does_not_see_as_one_job_are_refused(self):
        for name, value in (("SLURM_STEP_NUM_TASKS", "4"), ("PMI_SIZE", "4"), ("PMIX_RANK", "1")):
            with self.subTest(variable=name):
                done = subprocess.run(self.run_in("copies").command(), env={**os.environ, name: value},
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn("these would be independent runs", done.stdout)


if __name__ == "__main__":
    skips.main()
