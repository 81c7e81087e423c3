/* Pods as real processes: the whole runtime against an API in memory. Runs as it is, and once more as
 * an ordinary user when started by root.
 *
 * The binary is also the pods' init ("pod-init") and a supervisor to be killed ("supervisor"). */
#include "pod_world.h"
#include "io/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than wait_for() has patience: who waits it out fails, on a busy machine too. */
#define LONG_GRACE_S (2 * PATIENCE_MS / 1000)

/* Milliseconds from its deletion. */
static int64_t time_to_end(struct world *w, const char *name, int64_t grace_s)
{
    fake_api_delete(w->api, "pods", "t", name, grace_s);
    int64_t from = loop_mono_ms(w->loop);
    wait_for(w, name, is_gone, "gone");
    return loop_mono_ms(w->loop) - from;
}

/* --- the tests */

static void a_job_ends_with_its_code_and_log(void **state)
{
    struct world *w = *state;
    put_pod(w, "job",
            "{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"busybox\","
            "\"command\":[\"sh\",\"-c\"],"
            "\"args\":[\"echo $(NAME); sleep 0.1; echo oops >&2; sleep 0.1; echo three; exit 7\"],"
            "\"env\":[{\"name\":\"NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata."
            "name\"}}}]}]}");
    wait_for(w, "job", is_over, "over");
    assert_int_equal(pod_phase(pod_now(w, "job")), POD_FAILED);
    const struct val *end = val_path(container(w, "job"), "state.terminated");
    assert_int_equal(val_path_int(end, "exitCode", -1), 7);
    assert_true(str_is(val_path_str(end, "reason"), "Error"));
    assert_string_equal(read_log(w, "job", ALL), "job\noops\nthree\n");
    struct api_log_options tail = ALL;
    tail.tail_lines = 1;
    tail.timestamps = true;
    const char *line = read_log(w, "job", tail);
    assert_int_equal(line[4], '-');
    assert_non_null(strstr(line, "Z three\n"));
    struct api_log_options limit = ALL;
    limit.limit_bytes = 5;
    assert_string_equal(read_log(w, "job", limit), "job\no");
}

static void a_pod_sees_only_itself(void **state)
{
    struct world *w = *state;
    put_pod(w, "alone",
            "{\"restartPolicy\":\"Never\",\"hostname\":\"hermit\",\"containers\":[{\"name\":\"c\","
            "\"image\":\"x\",\"command\":"
            "[\"sh\",\"-c\",\"echo $$$$; hostname; cat /etc/hostname; ls /tmp | wc -l; mkdir "
            "/tmp/ray /new; echo x > /new/f; "
            "ls /proc | grep -c ^[0-9]; grep -c hermit /etc/hosts; cat /v/f; touch /etc/mark && "
            "echo wrote; "
            "df /dev/shm | tail -1 | cut -d ' ' -f 1\"],"
            "\"volumeMounts\":[{\"name\":\"d\",\"mountPath\":\"/"
            "v\"},{\"name\":\"m\",\"mountPath\":\"/dev/shm\"}]}],"
            "\"initContainers\":[{\"name\":\"i\",\"image\":\"x\",\"command\":[\"sh\",\"-c\",\"echo "
            "from init > /deep/er/f\"],"
            "\"volumeMounts\":[{\"name\":\"d\",\"mountPath\":\"/deep/er\"}]}],"
            "\"volumes\":[{\"name\":\"d\",\"emptyDir\":{}},{\"name\":\"m\",\"emptyDir\":{"
            "\"medium\":\"Memory\"}}]}");
    wait_for(w, "alone", is_over, "over");
    const char *log = read_log(w, "alone", ALL);
    struct str rest = str_of(log), line;
    static const char *const expected[] = {"1", "hermit",    "hermit", "0",    NULL,
                                           "1", "from init", "wrote",  "tmpfs"};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        if (!str_split(&rest, '\n', &line))
            fail_msg("line %zu is missing in: %s", i, log);
        if (expected[i] && !str_is(line, expected[i]))
            fail_msg("line %zu is not %s in: %s", i, expected[i], log);
        int64_t processes = 0;
        if (!expected[i])
            assert_true(str_to_i64(line, &processes) && processes <= 4);
    }
    assert_int_not_equal(access("/new", F_OK), 0);
    assert_int_not_equal(access("/etc/mark", F_OK), 0);
    assert_int_equal(pod_phase(pod_now(w, "alone")), POD_SUCCEEDED);
}

static void hooks_term_and_grace(void **state)
{
    struct world *w = *state;
    const char *log = arena_strf(w->arena, "%s/keep/log", w->dir).p;
    put_pod(w, "polite",
            arena_strf(
                w->arena,
                "{\"terminationGracePeriodSeconds\":120,\"containers\":[{\"name\":\"c\",\"image\":"
                "\"x\","
                "\"command\":[\"sh\",\"-c\","
                "\"trap 'echo term >> /keep/log; exit 0' TERM; echo up > /keep/up; while :; do "
                "sleep 0.1; "
                "done\"],"
                "\"volumeMounts\":[{\"name\":\"k\",\"mountPath\":\"/keep\"}],"
                "\"readinessProbe\":{\"exec\":{\"command\":[\"cat\",\"/keep/"
                "up\"]},\"periodSeconds\":1},"
                "\"lifecycle\":{\"postStart\":{\"exec\":{\"command\":[\"sh\",\"-c\",\"echo post >> "
                "/keep/log\"]}},"
                "\"preStop\":{\"exec\":{\"command\":[\"sh\",\"-c\",\"echo pre >> /keep/log\"]}}}}],"
                "\"volumes\":[{\"name\":\"k\",\"hostPath\":{\"path\":\"%s/keep\","
                "\"type\":\"DirectoryOrCreate\"}}]}",
                w->dir)
                .p);
    wait_for(w, "polite", is_up, "up");
    (void)time_to_end(w, "polite", LONG_GRACE_S); /* not the whole grace */
    char text[64] = "";
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_string_equal(text, "post\npre\nterm\n");
}

/* What `ray stop` does: the hook ends the main process, and the kernel the hook with it. */
static void a_hook_that_ends_its_container_has_not_failed(void **state)
{
    struct world *w = *state;
    put_pod(w, "self",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sh\",\"-c\","
            "\"trap 'exit 0' TERM; while :; do sleep 0.05; done\"],\"lifecycle\":{\"preStop\":"
            "{\"exec\":{\"command\":[\"sh\",\"-c\",\"while :; do kill 1; sleep 0.1; done\"]}}}}]}");
    put_pod(w, "bad",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sleep\",\"100\"],"
            "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"false\"]}}}}]}");
    wait_for(w, "self", is_up, "up");
    wait_for(w, "bad", is_up, "up");
    fake_api_delete(w->api, "pods", "t", "self", 10);
    wait_for(w, "self", is_gone, "gone");
    assert_false(has_event(w, "FailedPreStopHook"));
    fake_api_delete(w->api, "pods", "t", "bad", 1);
    wait_for(w, "bad", is_gone, "gone");
    assert_true(has_event(w, "FailedPreStopHook"));
}

static void the_dying_are_not_probed(void **state)
{
    struct world *w = *state;
    put_pod(w, "dying",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sh\",\"-c\","
            "\"touch /tmp/ok; exec sleep 100\"],"
            "\"livenessProbe\":{\"exec\":{\"command\":[\"cat\",\"/tmp/ok\"]},"
            "\"periodSeconds\":1,\"initialDelaySeconds\":1},"
            "\"readinessProbe\":{\"exec\":{\"command\":[\"cat\",\"/tmp/ok\"]},"
            "\"periodSeconds\":1,\"initialDelaySeconds\":1},"
            "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"sh\",\"-c\","
            "\"rm /tmp/ok; sleep 2.5\"]}}}}]}");
    wait_for(w, "dying", is_up, "up");
    fake_api_delete(w->api, "pods", "t", "dying", 4);
    wait_for(w, "dying", is_gone, "gone");
    assert_false(has_event(w, "Unhealthy"));
}

static void put_config(struct world *w, const char *key, const char *text)
{
    struct arena *a = w->arena;
    fake_api_put(w->api, "configmaps",
                 val_obj(a, "metadata",
                         val_obj(a, "name", val_text(a, "m"), "namespace", val_text(a, "t")),
                         "data", val_obj(a, key, val_text(a, text))));
}

static void volumes_follow_their_objects(void **state)
{
    struct world *w = *state;
    put_config(w, "old", "first");
    put_pod(w, "reader",
            "{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sh\",\"-c\",\"cat /m/old; touch /tmp/read; until test -e /m/new; do "
            "sleep 0.05; done; "
            "cat /m/new; ls /m; test ! -e /m/old\"],"
            "\"volumeMounts\":[{\"name\":\"m\",\"mountPath\":\"/m\"}],"
            "\"readinessProbe\":{\"exec\":{\"command\":[\"test\",\"-e\",\"/tmp/read\"]},"
            "\"periodSeconds\":1}}],"
            "\"volumes\":[{\"name\":\"m\",\"configMap\":{\"name\":\"m\"}}]}");
    wait_for(w, "reader", is_up, "up");
    fake_api_delete(w->api, "configmaps", "t", "m", 0);
    put_config(w, "new", "second");
    wait_for(w, "reader", is_over, "over");
    assert_string_equal(read_log(w, "reader", ALL), "firstsecondnew\n");
}

static void free_at_once(void *ctx)
{
    struct world *w = ctx;
    w->runtime = runtime_free(w->runtime);
}

static void a_stopped_runtime_may_be_freed_at_once(void **state)
{
    struct world *w = *state;
    put_pod(w, "last",
            "{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sleep\",\"100\"]}]}");
    wait_for(w, "last", is_up, "up");
    runtime_stop(w->runtime, free_at_once, w);
    for (int i = 0; i < 400 && w->runtime; i++)
        loop_turn(w->loop, 50);
    assert_null(w->runtime);
    assert_int_equal(w->pods_stopping, 1);
    assert_int_equal(w->pods_ended, 1);
}

static bool backs_off(struct world *w, const char *name)
{
    return str_is(val_path_str(container(w, name), "state.waiting.reason"), "ImagePullBackOff");
}

/* As a kubelet says it of an image that it cannot have, with what to write. */
static void an_image_without_a_recipe_is_refused(void **state)
{
    struct world *w = *state;
    put_pod(w, "unknown",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"quay.io/team/app:1\",\"command\":["
            "\"sleep\",\"100\"]}]}");
    wait_for(w, "unknown", backs_off, "backing off");
    const struct val *waiting = val_path(container(w, "unknown"), "state.waiting");
    assert_true(str_starts(val_path_str(waiting, "message"),
                           STR("Back-off pulling image \"quay.io/team/app:1\": ErrImagePull: ")));
    assert_true(str_has(val_path_str(waiting, "message"),
                        STR("--image quay.io/team/app:1=requirements.txt")));
    assert_true(has_event(w, "Failed"));
    assert_true(has_event(w, "BackOff"));
    assert_int_equal(pod_phase(pod_now(w, "unknown")), POD_PENDING);
    fake_api_delete(w->api, "pods", "t", "unknown", 0);
    wait_for(w, "unknown", is_gone, "gone");
}

static void the_deaf_are_killed(void **state)
{
    struct world *w = *state;
    put_pod(
        w, "deaf",
        "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sleep\",\"4711.25\"]}]}");
    wait_for(w, "deaf", is_up, "up");
    assert_int_not_equal(find_process("4711.25"), 0);
    assert_true(time_to_end(w, "deaf", 1) >= 900);
    assert_int_equal(find_process("4711.25"), 0);
}

/* A PID 1 without a handler yet would never see the signal: it is kept until there is one. */
static void term_waits_for_its_handler(void **state)
{
    struct world *w = *state;
    put_pod(
        w, "starting",
        "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"bash\",\"-c\",\"sleep 1; "
        "trap 'exit 0' TERM; while :; do sleep 0.1; done\"]}]}");
    wait_for(w, "starting", is_up, "up");
    (void)time_to_end(w, "starting", LONG_GRACE_S);
}

#define DEAF_SHELL                                                                                 \
    "mkfifo /tmp/f; exec 9<>/tmp/f; trap : TERM; sleep 3 & while :; do read -t 1 -u 9; done"

/* `ray start --block` goes on after `ray stop`: alone in its container it has nothing to do. */
static void a_lonely_launcher_is_ended(void **state)
{
    struct world *w = *state;
    put_pod(w, "launcher",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"bash\",\"-c\",\": ray "
            "start; " DEAF_SHELL "\"]}]}");
    put_pod(w, "worker",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"bash\",\"-c\","
            "\"" DEAF_SHELL "\"]}]}");
    wait_for(w, "launcher", is_up, "up");
    wait_for(w, "worker", is_up, "up");
    assert_true(time_to_end(w, "launcher", LONG_GRACE_S) >= 2000); /* its child had its grace */
    assert_true(time_to_end(w, "worker", 4) >= 3900);              /* nobody else is cut short */
}

static void crashes_back_off(void **state)
{
    struct world *w = *state;
    put_pod(w, "crash",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sh\",\"-c\",\"echo "
            "life; exit 3\"]}]}");
    wait_for(w, "crash", is_in_crash_loop, "in a crash loop");
    assert_int_equal(val_path_int(container(w, "crash"), "lastState.terminated.exitCode", -1), 3);
    assert_true(has_event(w, "BackOff"));
    struct api_log_options previous = ALL;
    previous.previous = true;
    assert_string_equal(read_log(w, "crash", previous), "life\n");
}

static void what_cannot_start_says_why(void **state)
{
    struct world *w = *state;
    put_pod(w, "typo",
            "{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"/no/such\"]}]}");
    wait_for(w, "typo", is_over, "over");
    const struct val *end = val_path(container(w, "typo"), "state.terminated");
    assert_true(str_is(val_path_str(end, "reason"), "StartError"));
    assert_non_null(
        strstr(val_as_c(val_get(end, "message")), "\"/no/such\": No such file or directory"));
    assert_int_equal(val_path_int(end, "exitCode", 0), 128);
}

static void liveness_restarts(void **state)
{
    struct world *w = *state;
    put_pod(w, "sick",
            "{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sleep\",\"1000\"],"
            "\"livenessProbe\":{\"exec\":{\"command\":[\"false\"]},\"periodSeconds\":1,"
            "\"failureThreshold\":1}}]}");
    wait_for(w, "sick", is_restarted_by_probe, "restarted");
    assert_true(has_event(w, "Unhealthy"));
    assert_true(has_event(w, "Killing"));
}

static void secrets_and_claims_are_waited_for(void **state)
{
    struct world *w = *state;
    struct arena *a = w->arena;
    put_pod(w, "late",
            "{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sh\",\"-c\",\"cat /s/k; echo; "
            "cat /s/../etc/hostname; echo shared > "
            "/p/f\"],\"volumeMounts\":[{\"name\":\"s\",\"mountPath\":\"/s\",\"readOnly\":true},"
            "{\"name\":\"p\",\"mountPath\":\"/"
            "p\"}]}],\"volumes\":[{\"name\":\"s\",\"secret\":{\"secretName\":\"s\"}},"
            "{\"name\":\"p\",\"persistentVolumeClaim\":{\"claimName\":\"p\"}}]}");
    for (int i = 0; i < 40 && !has_event(w, "FailedMount"); i++)
        loop_turn(w->loop, 20);
    assert_true(has_event(w, "FailedMount"));
    fake_api_put(w->api, "persistentvolumeclaims",
                 val_obj(a, "metadata",
                         val_obj(a, "name", val_text(a, "p"), "namespace", val_text(a, "t"))));
    fake_api_put(w->api, "secrets",
                 val_obj(a, "metadata",
                         val_obj(a, "name", val_text(a, "s"), "namespace", val_text(a, "t")),
                         "data", val_obj(a, "k", val_text(a, "aGVsbG8="))));
    wait_for(w, "late", is_over, "over");
    assert_string_equal(read_log(w, "late", ALL), "hello\nlate\n");
    char path[128];
    snprintf(path, sizeof(path), "%s/volumes/t/p/f", w->dir);
    assert_int_equal(access(path, F_OK), 0);
    assert_true(str_is(
        val_path_str(fake_api_get(w->api, "persistentvolumeclaims", "t", "p"), "status.phase"),
        "Bound"));
}

static void a_new_supervisor_starts_them_anew(void **state)
{
    struct world *w = *state;
    put_pod(w, "lasting",
            "{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sleep\",\"4712.25\"]}]}");
    put_pod(w, "once",
            "{\"terminationGracePeriodSeconds\":1,\"restartPolicy\":\"Never\",\"containers\":"
            "[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sleep\",\"1000\"]}]}");
    wait_for(w, "lasting", is_up, "up");
    wait_for(w, "once", is_up, "up");
    struct str uid = arena_str(w->arena, kube_uid(pod_now(w, "lasting")));
    world_stop(w);
    assert_int_equal(find_process("4712.25"), 0);
    assert_true(is_up(w, "lasting")); /* the object says nothing of it */
    world_start(w);
    wait_for(w, "lasting", is_restarted_by_probe, "restarted");
    wait_for(w, "lasting", is_up, "up again");
    assert_true(str_eq(uid, kube_uid(pod_now(w, "lasting"))));
    assert_int_equal(val_path_int(container(w, "lasting"), "restartCount", 0), 1);
    assert_int_equal(val_path_int(container(w, "lasting"), "lastState.terminated.exitCode", 0),
                     137);
    wait_for(w, "once", is_over, "over");
    assert_int_equal(pod_phase(pod_now(w, "once")), POD_FAILED);
}

static void nothing_outlives_a_killed_supervisor(void **state)
{
    char *argv[] = {"test", "supervisor", NULL};
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    struct spawn_fd fds[] = {{.fd = ready[1], .child_fd = 1}, {.fd = 2, .child_fd = 2}};
    struct spawn_options options = {.path = self_exe, .argv = argv, .fds = fds, .n_fds = 2};
    struct spawn_child child;
    struct err err = ERR_INIT;
    assert_int_equal(spawn_start(&options, &child, &err), 0);
    close(ready[1]);
    char dir[64] = "";
    assert_true(read(ready[0], dir, sizeof(dir) - 1) > 0); /* its pod is up */
    close(ready[0]);
    assert_int_not_equal(find_process("4713.25"), 0);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    waitpid(child.pid, NULL, 0);
    close(child.pidfd);
    for (int i = 0; i < 100 && find_process("4713.25"); i++)
        usleep(20000);
    assert_int_equal(find_process("4713.25"), 0);
    remove_tree(dir);
}

static void sort_out_deadlines(void **state)
{
    struct world *w = *state;
    put_pod(w, "slow",
            "{\"activeDeadlineSeconds\":1,\"terminationGracePeriodSeconds\":0,\"containers\":[{"
            "\"name\":\"c\",\"image\":\"x\","
            "\"command\":[\"sleep\",\"1000\"]}]}");
    wait_for(w, "slow", is_over, "over");
    assert_true(str_is(val_path_str(pod_now(w, "slow"), "status.reason"), "DeadlineExceeded"));
}

static void what_fits_nowhere_is_told(void **state)
{
    struct world *w = *state;
    put_pod(w, "huge",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"true\"],\"resources\":"
            "{\"limits\":{\"nvidia.com/gpu\":16}}}]}");
    for (int i = 0; i < 100 && !has_event(w, "FailedScheduling"); i++)
        loop_turn(w->loop, 20);
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 20);
    const struct val *c =
        kube_condition(val_path(pod_now(w, "huge"), "status.conditions"), "PodScheduled");
    assert_string_equal(val_as_c(val_get(c, "message")),
                        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.");
}

static void without_namespaces_too(void **state)
{
    struct world *w = *state;
    w->runtime = runtime_free(w->runtime);
    w->no_namespaces = true;
    world_start(w);
    assert_non_null(strstr(runtime_limits(w->runtime), "no PID and mount namespaces"));
    put_pod(
        w, "plain",
        "{\"terminationGracePeriodSeconds\":120,\"containers\":[{\"name\":\"c\",\"image\":\"x\","
        "\"command\":[\"sh\",\"-c\","
        "\"setsid sleep 4714.25 & grep -q localhost $MOBULA_POD_HOSTS && echo up; "
        "wait\"],\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":"
        "[\"sh\",\"-c\",\": ray stop; sleep "
        "300\"]}}},\"readinessProbe\":{\"exec\":{\"command\":[\"true\"]}}}]}");
    wait_for(w, "plain", is_up, "up");
    for (int i = 0; i < 100 && !*read_log(w, "plain", ALL); i++)
        loop_turn(w->loop, 20);
    assert_string_equal(read_log(w, "plain", ALL), "up\n");
    assert_int_not_equal(find_process("4714.25"), 0);
    (void)time_to_end(w, "plain", LONG_GRACE_S); /* the hook was not run */
    for (int i = 0; i < 50 && find_process("4714.25"); i++)
        loop_turn(w->loop, 20);
    assert_int_equal(find_process("4714.25"), 0);
}

static void left_overs_are_swept(void **state)
{
    struct world *w = *state;
    char mark[128];
    snprintf(mark, sizeof(mark), "MOBULA_STATE=%s", w->dir);
    char *argv[] = {"sleep", "4715.25", NULL}, *envp[] = {mark, "PATH=/bin:/usr/bin", NULL};
    struct spawn_options options = {.path = "sleep", .argv = argv, .envp = envp};
    struct spawn_child child;
    struct err err = ERR_INIT;
    int status = 0;
    assert_int_equal(spawn_start(&options, &child, &err), 0);
    assert_int_not_equal(find_process("4715.25"), 0);
    w->runtime = runtime_free(w->runtime);
    w->no_namespaces = true;
    world_start(w);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(child.pidfd);
}

/* --- the other roles of this binary */

static int supervise(void)
{
    void *state = NULL;
    if (world_open(&state) < 0)
        return 1;
    struct world *w = state;
    put_pod(w, "victim",
            "{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"sh\",\"-c\",\"sleep "
            "4713.25 & setsid sleep 4713.25\"]}]}");
    wait_for(w, "victim", is_up, "up");
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 20);
    if (write(1, w->dir, strlen(w->dir)) < 0)
        return 1;
    for (;;)
        loop_turn(w->loop, 1000);
}

static int run_all(const char *who)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(a_job_ends_with_its_code_and_log),
        TEST(a_pod_sees_only_itself),
        TEST(hooks_term_and_grace),
        TEST(a_hook_that_ends_its_container_has_not_failed),
        TEST(the_dying_are_not_probed),
        TEST(volumes_follow_their_objects),
        TEST(a_stopped_runtime_may_be_freed_at_once),
        TEST(an_image_without_a_recipe_is_refused),
        TEST(the_deaf_are_killed),
        TEST(term_waits_for_its_handler),
        TEST(a_lonely_launcher_is_ended),
        TEST(crashes_back_off),
        TEST(what_cannot_start_says_why),
        TEST(liveness_restarts),
        TEST(secrets_and_claims_are_waited_for),
        TEST(a_new_supervisor_starts_them_anew),
        cmocka_unit_test(nothing_outlives_a_killed_supervisor),
        TEST(sort_out_deadlines),
        TEST(what_fits_nowhere_is_told),
        TEST(without_namespaces_too),
        TEST(left_overs_are_swept),
    };
    return world_run(who, tests);
}

int main(int argc, char **argv)
{
    world_find_self();
    if (argc > 1 && strcmp(argv[1], "supervisor") == 0)
        return supervise();
    return world_main(argc, argv, run_all);
}
