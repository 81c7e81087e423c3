/* What a pod tries against its node: real pods that attack, and the calls that must withstand. Runs as it
 * is and, when started by root, once more as an ordinary user; the calls also with openat2 refused. */
#include "pod_world.h"
#include "io/spawn.h"
#include "runtime/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool refuse_openat2;

/* The linker sends every syscall() here. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (refuse_openat2 && number == SYS_openat2) {
        errno = ENOSYS;
        return -1;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

/* --- helpers */

/* A folder beside the world's, which no pod was given, with a file `f` that says "mine". */
static const char *outside(struct world *w)
{
    const char *dir = arena_strf(w->arena, "%s/outside", w->dir).p;
    assert_int_equal(mkdir(dir, 0777), 0);
    int fd = open(arena_strf(w->arena, "%s/f", dir).p, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    return dir;
}

static const char *text_of(struct world *w, const char *dir, const char *name)
{
    char text[64] = "";
    int fd = open(arena_strf(w->arena, "%s/%s", dir, name).p, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n < 0 ? NULL : arena_strf(w->arena, "%s", text).p;
}

static bool holds(struct world *w, const char *dir, const char *name)
{
    struct stat st;
    return lstat(arena_strf(w->arena, "%s/%s", dir, name).p, &st) == 0;
}

static void put_data(struct world *w, const char *plural, const char *key, const char *text)
{
    struct arena *a = w->arena;
    fake_api_delete(w->api, plural, "t", "m", 0);
    fake_api_put(w->api, plural,
                 val_obj(a, "metadata",
                         val_obj(a, "name", val_text(a, "m"), "namespace", val_text(a, "t")),
                         "data", val_obj(a, key, val_text(a, text))));
}

static void put_script(struct world *w, const char *name, const char *script, const char *mounts,
                       const char *volumes, const char *security)
{
    put_pod(
        w, name,
        arena_strf(w->arena,
                   "{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\","
                   "\"command\":[\"bash\",\"-c\",\"%s\"],\"volumeMounts\":[%s]%s}],"
                   "\"volumes\":[%s]}",
                   script, mounts, security, volumes)
            .p);
}

static void must_say(struct world *w, const char *name, const char *text)
{
    wait_for(w, name, is_over, "over");
    assert_string_equal(read_log(w, name, ALL), text);
}

static void turn(struct world *w, int ms)
{
    for (int64_t end = loop_mono_ms(w->loop) + ms; loop_mono_ms(w->loop) < end;)
        loop_turn(w->loop, 10);
}

/* --- attacks */

#define TRY(what) "if (" what ") 2>/dev/null; then echo broke: '" what "'; fi; "

static void files_of_the_node_are_read_only(void **state)
{
    struct world *w = *state;
    put_data(w, "configmaps", "k", "v");
    put_data(w, "secrets", "k", "dg==");
    put_script(
        w, "writer",
        "for d in /cm /sec /dw /pr; do "
        "test -s $d/k || echo $d/k is missing; " TRY("echo x > $d/k") TRY("echo x > $d/new")
            TRY("rm $d/k") TRY("ln -s / $d/l") TRY("mv $d/k $d/j") TRY("chmod 777 $d")
                TRY("mount -o remount,rw,bind $d; echo x > $d/new")
                    TRY("unshare -Urm bash -c 'mount -o remount,rw,bind '$d'; echo x > "
                        "'$d'/new'") "done; test -z \\\"$(ls -A /.mobula/volumes)\\\" || echo "
                                     "volumes are seen; echo held",
        "{\"name\":\"cm\",\"mountPath\":\"/cm\"},{\"name\":\"sec\",\"mountPath\":\"/sec\"},"
        "{\"name\":\"dw\",\"mountPath\":\"/dw\"},{\"name\":\"pr\",\"mountPath\":\"/pr\"}",
        "{\"name\":\"cm\",\"configMap\":{\"name\":\"m\"}},"
        "{\"name\":\"sec\",\"secret\":{\"secretName\":\"m\"}},"
        "{\"name\":\"dw\",\"downwardAPI\":{\"items\":[{\"path\":\"k\",\"fieldRef\":{\"fieldPath\":"
        "\"metadata.name\"}}]}},"
        "{\"name\":\"pr\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"m\"}}]}}",
        "");
    must_say(w, "writer", "held\n");
}

static void read_only_mounts_hold(void **state)
{
    struct world *w = *state;
    put_script(w, "reader",
               "echo y > /rw/f; " TRY("echo x > /ro/f")
                   TRY("mount -o remount,rw,bind /ro; echo x > /ro/f")
                       TRY("echo x > /.mobula/volumes/v/f") "cat /ro/f",
               "{\"name\":\"v\",\"mountPath\":\"/rw\"},"
               "{\"name\":\"v\",\"mountPath\":\"/ro\",\"readOnly\":true}",
               "{\"name\":\"v\",\"emptyDir\":{}}", "");
    must_say(w, "reader", "y\n");
}

/* The pod waits for a word, exchanges a folder of its volume for a link, says so and stays. */
static void exchange_a_folder(struct world *w, const char *at, const char *to)
{
    const char *script =
        arena_strf(
            w->arena,
            "mv %s/dir %s/old; ln -s %s %s/dir; ln -s %s/f %s/hard; touch /tmp/done; sleep 60", at,
            at, to, at, to, at)
            .p;
    put_pod(w, "swap",
            arena_strf(
                w->arena,
                "{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"c\","
                "\"image\":\"x\",\"command\":[\"bash\",\"-c\",\"%s\"],\"volumeMounts\":[{"
                "\"name\":\"m\",\"mountPath\":\"/m\"}]}],\"volumes\":[{\"name\":\"m\","
                "\"configMap\":{\"name\":\"m\",\"items\":[{\"key\":\"k\",\"path\":\"dir/f\"}]}}]}",
                script)
                .p);
    wait_for(w, "swap", is_up, "up");
    turn(w, 700);
    put_data(w, "configmaps", "k", "written by the node");
    turn(w, 700);
}

static void a_changed_object_stays_in_its_volume(void **state)
{
    struct world *w = *state;
    const char *dir = outside(w);
    put_data(w, "configmaps", "k", "first");
    exchange_a_folder(w, "/m", dir);
    assert_string_equal(text_of(w, dir, "f"), "mine");
}

/* Without namespaces the pod's processes are the node's own user: only the node's care is left. */
static void and_where_the_pod_can_write(void **state)
{
    struct world *w = *state;
    const char *dir = outside(w);
    w->runtime = runtime_free(w->runtime);
    w->no_namespaces = true;
    world_start(w);
    put_data(w, "configmaps", "k", "first");
    exchange_a_folder(w, "$(dirname $MOBULA_POD_HOSTS)/../volumes/m", dir);
    assert_string_equal(text_of(w, dir, "f"), "mine");
    assert_true(has_event(w, "FailedMount"));
}

static void put_sub(struct world *w, const char *name, const char *link, const char *sub,
                    const char *volume)
{
    put_pod(
        w, name,
        arena_strf(w->arena,
                   "{\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":"
                   "\"x\",\"command\":[\"bash\",\"-c\",\"mkdir -p /v/real; ln -s %s /v/l\"],"
                   "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],"
                   "\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"command\":[\"bash\",\"-c\","
                   "\"echo x > /s/made; ls /s\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":"
                   "\"/s\",\"subPath\":\"%s\"}]}],\"volumes\":[{\"name\":\"v\",%s},"
                   "{\"name\":\"other\",\"emptyDir\":{}}]}",
                   link, sub, volume)
            .p);
    wait_for(w, name, is_over, "over");
}

static void sub_paths_stay_in_their_volume(void **state)
{
    struct world *w = *state;
    const char *dir = outside(w), *disk = "\"emptyDir\":{}";
    put_sub(w, "out", dir, "l/new", disk);
    assert_false(holds(w, dir, "new"));
    assert_int_equal(pod_phase(pod_now(w, "out")), POD_FAILED);
    put_sub(w, "other", "/.mobula/volumes/other", "l", disk);
    assert_int_equal(pod_phase(pod_now(w, "other")), POD_FAILED);
    put_sub(w, "up", "../..", "l", disk);
    assert_int_equal(pod_phase(pod_now(w, "up")), POD_FAILED);
    put_sub(w, "magic", "/proc/self/root", "l/etc", disk);
    assert_int_equal(pod_phase(pod_now(w, "magic")), POD_FAILED);
    put_sub(w, "inner", "real", "l/a..b/c", disk);
    assert_string_equal(read_log(w, "inner", ALL), "made\n");
    put_sub(w, "memory", "real", "l/d", "\"emptyDir\":{\"medium\":\"Memory\"}");
    assert_string_equal(read_log(w, "memory", ALL), "made\n");
}

static void mount_points_stay_out_of_proc(void **state)
{
    struct world *w = *state;
    put_pod(
        w, "proc",
        "{\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":\"x\","
        "\"command\":[\"ln\",\"-s\",\"/proc/self\",\"/data\"]}],\"containers\":[{\"name\":\"c\","
        "\"image\":\"x\",\"command\":[\"true\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":"
        "\"/data/attr\"}]}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}");
    wait_for(w, "proc", is_over, "over");
    assert_true(
        str_is(val_path_str(container(w, "proc"), "state.terminated.reason"), "StartError"));
}

static void rights_are_those_of_a_container(void **state)
{
    struct world *w = *state;
    put_script(w, "plain",
               TRY("mount -t tmpfs x /mnt") TRY("mknod /n c 1 3") TRY("umount /proc")
                   TRY("echo x > /proc/sys/kernel/core_pattern") TRY("echo h > /proc/sysrq-trigger")
                       TRY("chroot /proc/1/root umount /cm")
                           TRY("dd if=/proc/kcore bs=1 count=1 | grep -q .")
                               TRY("grep -q 'CapEff.*ffffffff' /proc/self/status") "echo held",
               "", "", "");
    must_say(w, "plain", "held\n");
    put_script(w, "given", "mount -t tmpfs x /mnt && echo mounted", "", "",
               ",\"securityContext\":{\"privileged\":true}");
    must_say(w, "given", "mounted\n");
    put_script(w, "less", "chown 1 /tmp 2>/dev/null || echo no; grep NoNewPrivs /proc/self/status",
               "", "",
               ",\"securityContext\":{\"capabilities\":{\"drop\":[\"ALL\"]},"
               "\"allowPrivilegeEscalation\":false}");
    must_say(w, "less", "no\nNoNewPrivs:\t1\n");
}

static void the_nodes_own_folder_is_hidden(void **state)
{
    struct world *w = *state;
    world_stop(w);
    char dir[] = "/var/tmp/mobula-pods-XXXXXX";
    assert_non_null(mkdtemp(dir));
    remove_tree(w->dir);
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    world_start(w);
    const char *file = arena_strf(w->arena, "%s/key", w->dir).p;
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "secret", 6), 6);
    close(fd);
    put_script(w, "curious",
               arena_strf(w->arena, TRY("cat %s") TRY("ls %s/pods/*") "echo held", file, file,
                          w->dir, w->dir)
                   .p,
               "", "", "");
    must_say(w, "curious", "held\n");
}

static bool is_dir_gone(struct world *w, const char *uid)
{
    for (int i = 0; i < 400 && holds(w, w->dir, uid); i++)
        loop_turn(w->loop, 20);
    return !holds(w, w->dir, uid);
}

static void what_pods_leave_is_removed(void **state)
{
    struct world *w = *state;
    const char *dir = outside(w);
    put_script(w, "mess",
               arena_strf(w->arena,
                          "cd /v; mkdir -p $(printf 'd/%%.0s' $(seq 700)); mkdir closed; touch "
                          "closed/f; mkfifo fifo; ln -s %s link; ln -s %s/f lf; "
                          "chmod 0 closed; echo ok",
                          dir, dir)
                   .p,
               "{\"name\":\"v\",\"mountPath\":\"/v\"}", "{\"name\":\"v\",\"emptyDir\":{}}", "");
    must_say(w, "mess", "ok\n");
    const char *own = arena_strf(w->arena, "pods/%.*s", STR_ARG(kube_uid(pod_now(w, "mess")))).p;
    fake_api_delete(w->api, "pods", "t", "mess", 0);
    wait_for(w, "mess", is_gone, "gone");
    assert_true(is_dir_gone(w, own));
    assert_string_equal(text_of(w, dir, "f"), "mine");
}

/* --- the calls */

static void write_refuses(struct world *w, int root, const char *path)
{
    if (beneath_write(root, path, "..new", STR("x"), 0644))
        fail_msg("%s was written (%s)", path, refuse_openat2 ? "no openat2" : "openat2");
    (void)w;
}

static void calls_withstand(struct world *w, const char *name)
{
    const char *dir = arena_strf(w->arena, "%s/%s", w->dir, name).p;
    const char *out = arena_strf(w->arena, "%s/outside", w->dir).p;
    assert_int_equal(mkdir(dir, 0777), 0);
    int root = beneath_root(dir);
    assert_true(root >= 0);
    assert_true(beneath_write(root, "a..b/c", "..new", STR("x"), 0644));
    assert_int_equal(symlinkat(out, root, "out"), 0);
    assert_int_equal(symlinkat("a..b", root, "in"), 0);
    assert_int_equal(symlinkat("/proc/self/cwd", root, "magic"), 0);
    assert_int_equal(mkfifoat(root, "fifo", 0666), 0);
    write_refuses(w, root, "out/f");
    write_refuses(w, root, "in/f");
    write_refuses(w, root, "magic/f");
    write_refuses(w, root, "../outside/f");
    write_refuses(w, root, "a..b/../../outside/f");
    write_refuses(w, root, "fifo/f");
    assert_true(beneath_write(root, "fifo", "..new", STR("x"), 0644)); /* replaced, not opened */
    assert_true(beneath_write(root, "out", "..new", STR("x"), 0644));
    assert_int_equal(symlinkat(out, root, "out2"), 0);
    assert_int_equal(beneath_make_dirs(root, "out2/new", 0777, BENEATH_INNER_LINKS), -1);
    assert_int_equal(beneath_open(root, "out2/f", O_RDONLY, 0, BENEATH_INNER_LINKS), -1);
    assert_int_equal(mkfifoat(root, "fifo2", 0666), 0);
    assert_int_equal(beneath_regular(root, "fifo2", O_RDONLY, 0), -1);
    assert_int_equal(beneath_regular(root, "fifo2", O_WRONLY | O_CREAT, 0644), -1);
    assert_int_equal(beneath_regular(root, "out2", O_RDONLY, 0), -1);
    assert_int_equal(unlinkat(root, "..new", 0), -1); /* nothing half-made is left */
    close(root);
    beneath_remove_tree(dir);
    assert_false(holds(w, w->dir, name));
    assert_string_equal(text_of(w, out, "f"), "mine");
    assert_false(holds(w, out, "new"));
}

static void with_and_without_openat2(void **state)
{
    struct world *w = *state;
    (void)outside(w);
    calls_withstand(w, "with");
    refuse_openat2 = true;
    calls_withstand(w, "without");
    refuse_openat2 = false;
}

static int run_all(const char *who)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(files_of_the_node_are_read_only),      TEST(read_only_mounts_hold),
        TEST(a_changed_object_stays_in_its_volume), TEST(and_where_the_pod_can_write),
        TEST(sub_paths_stay_in_their_volume),       TEST(mount_points_stay_out_of_proc),
        TEST(rights_are_those_of_a_container),      TEST(the_nodes_own_folder_is_hidden),
        TEST(what_pods_leave_is_removed),           TEST(with_and_without_openat2),
    };
    return world_run(who, tests);
}

int main(int argc, char **argv)
{
    return world_main(argc, argv, run_all);
}
