/* The images that are known without being told of, and the days on which Rays were published.
 *
 * rayproject/ray installs ray[all] and uv (docker/ray and docker/base-deps of the Ray repository); ray-llm
 * adds the extra llm; ray-ml added the libraries of its requirements. quay.io/ado/ado is rayproject/ray
 * with ado-core and the ray_tune operator (Dockerfile-cpu of the ado repository); the fine-tuning
 * actuator is put beside them. What a published image pins in its own lock file is met by date: packages are taken as
 * PyPI had them a week after that Ray. Source of the days: PyPI. */
#include "runtime/recipe.h"

#define RAY_ML_PACKAGES                                                                            \
    "torch\ntorchvision\ntensorflow\nscikit-learn\nxgboost\nlightgbm\ntransformers\ndatasets\n"    \
    "accelerate\noptuna\nhyperopt\nmlflow\nwandb\n"
/* Not ado-vllm-performance, whose earlier versions bring all of vLLM. */
#define ADO_PACKAGES "ado-core\nado-ray-tune\nado-sfttrainer; python_version < '3.13'\n"
#define ADO_SINCE    "2025-10-10" /* all three are on PyPI, in versions that fit */

const struct recipe_row recipe_rows[] = {
    {.name = "ray", .tag_is_ray = true, .as_of = "0"},
    {.name = "ray-ml", .tag_is_ray = true, .as_of = "0", .packages = RAY_ML_PACKAGES},
    {.name = "ray-llm", .tag_is_ray = true, .as_of = "0", .extras = "all,llm"},
    {.name = "ado/*", .as_of = ADO_SINCE, .packages = ADO_PACKAGES},
    /* Small images for init containers and side-cars, whose programs any host has. */
    {.name = "library/busybox", .is_host = true},
    {.name = "library/alpine", .is_host = true},
    {.name = "library/bash", .is_host = true},
    {.name = "library/debian", .is_host = true},
    {.name = "library/ubuntu", .is_host = true},
    {.name = "library/python", .is_host = true},
    {.name = "curlimages/curl", .is_host = true},
};
const size_t recipe_rows_count = ARRAY_SIZE(recipe_rows);

static const struct {
    const char *version, *date;
} dates[] = {
    {"2.0.0", "2022-08-30"},  {"2.0.1", "2022-10-29"},  {"2.1.0", "2022-11-15"},
    {"2.2.0", "2022-12-20"},  {"2.3.0", "2023-03-03"},  {"2.3.1", "2023-04-01"},
    {"2.4.0", "2023-05-02"},  {"2.5.0", "2023-06-15"},  {"2.5.1", "2023-06-28"},
    {"2.6.0", "2023-07-28"},  {"2.6.1", "2023-07-31"},  {"2.6.2", "2023-08-10"},
    {"2.6.3", "2023-08-22"},  {"2.7.0", "2023-09-24"},  {"2.7.1", "2023-10-16"},
    {"2.7.2", "2023-12-11"},  {"2.8.0", "2023-11-10"},  {"2.8.1", "2023-12-08"},
    {"2.9.0", "2023-12-28"},  {"2.9.1", "2024-01-26"},  {"2.9.2", "2024-02-12"},
    {"2.9.3", "2024-02-29"},  {"2.10.0", "2024-03-28"}, {"2.11.0", "2024-04-24"},
    {"2.12.0", "2024-05-02"}, {"2.20.0", "2024-05-08"}, {"2.21.0", "2024-05-15"},
    {"2.22.0", "2024-05-21"}, {"2.23.0", "2024-05-29"}, {"2.24.0", "2024-06-13"},
    {"2.30.0", "2024-06-27"}, {"2.31.0", "2024-07-03"}, {"2.32.0", "2024-07-17"},
    {"2.33.0", "2024-08-01"}, {"2.34.0", "2024-08-06"}, {"2.35.0", "2024-09-03"},
    {"2.36.0", "2024-09-23"}, {"2.36.1", "2024-09-30"}, {"2.37.0", "2024-10-01"},
    {"2.38.0", "2024-10-30"}, {"2.39.0", "2024-11-19"}, {"2.40.0", "2024-12-10"},
    {"2.41.0", "2025-01-30"}, {"2.42.0", "2025-02-11"}, {"2.42.1", "2025-02-18"},
    {"2.43.0", "2025-03-06"}, {"2.44.0", "2025-03-28"}, {"2.44.1", "2025-04-03"},
    {"2.45.0", "2025-05-06"}, {"2.46.0", "2025-05-14"}, {"2.47.0", "2025-06-18"},
    {"2.47.1", "2025-06-24"}, {"2.48.0", "2025-07-25"}, {"2.49.0", "2025-09-02"},
    {"2.49.1", "2025-09-10"}, {"2.49.2", "2025-09-26"}, {"2.50.0", "2025-10-17"},
    {"2.50.1", "2025-10-25"}, {"2.51.0", "2025-11-05"}, {"2.51.1", "2025-11-08"},
    {"2.51.2", "2025-12-06"}, {"2.52.0", "2025-11-28"}, {"2.52.1", "2025-12-05"},
    {"2.53.0", "2025-12-27"}, {"2.54.0", "2026-02-25"}, {"2.54.1", "2026-04-01"},
    {"2.55.0", "2026-04-22"}, {"2.55.1", "2026-04-29"}, {"2.56.0", "2026-07-06"},
    {"2.56.1", "2026-07-24"}, {"2.57.0", "2026-08-18"}, {"2.57.1", "2026-10-28"},
    {"2.58.0", "2026-08-30"}, {"2.58.1", "2026-10-28"}, {"2.59.0", "2026-10-09"},
    {"2.60.0", "2026-11-11"},
};

const char *recipe_date(struct str version)
{
    for (size_t i = 0; i < ARRAY_SIZE(dates); i++)
        if (str_is(version, dates[i].version))
            return dates[i].date;
    return NULL;
}

const char *recipe_newest_ray(void)
{
    return dates[ARRAY_SIZE(dates) - 1].version;
}
