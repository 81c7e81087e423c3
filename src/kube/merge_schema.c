/* Which lists of Kubernetes' own kinds are merged, and by which member.
 *
 * Rows are the patchStrategy and patchMergeKey tags of k8s.io/api types; a field without a row is
 * merged when it is a map and replaced when it is a list (tolerations, args, command …). */
#include "kube/kube.h"

#define FIELD(name, ...)                                                                           \
    {                                                                                              \
        .field = name, __VA_ARGS__                                                                 \
    }
#define BY(key)   .merge_key = key
#define SET       .merges_primitives = true
#define IN(table) .fields = table
#define END                                                                                        \
    {                                                                                              \
        .field = NULL                                                                              \
    }

#define TABLE static const struct val_merge_schema

TABLE owner_metadata[] = {FIELD("ownerReferences", BY("uid")), FIELD("finalizers", SET), END};
#define METADATA FIELD("metadata", IN(owner_metadata))

/* --- pods */
TABLE container[] = {FIELD("ports", BY("containerPort")), FIELD("env", BY("name")),
                     FIELD("volumeMounts", BY("mountPath")),
                     FIELD("volumeDevices", BY("devicePath")), END};
TABLE pod_spec[] = {FIELD("volumes", BY("name")),
                    FIELD("initContainers", BY("name"), IN(container)),
                    FIELD("containers", BY("name"), IN(container)),
                    FIELD("ephemeralContainers", BY("name"), IN(container)),
                    FIELD("imagePullSecrets", BY("name")),
                    FIELD("hostAliases", BY("ip")),
                    FIELD("topologySpreadConstraints", BY("topologyKey")),
                    FIELD("resourceClaims", BY("name")),
                    FIELD("schedulingGates", BY("name")),
                    END};
TABLE pod_status[] = {FIELD("conditions", BY("type")), FIELD("podIPs", BY("ip")),
                      FIELD("hostIPs", BY("ip")), FIELD("resourceClaimStatuses", BY("name")), END};
TABLE pod[] = {METADATA, FIELD("spec", IN(pod_spec)), FIELD("status", IN(pod_status)), END};
TABLE pod_template[] = {METADATA, FIELD("spec", IN(pod_spec)), END};
TABLE pod_template_kind[] = {METADATA, FIELD("template", IN(pod_template)), END};

/* --- workloads */
TABLE conditions[] = {FIELD("conditions", BY("type")), END};
TABLE workload_spec[] = {FIELD("template", IN(pod_template)), END};
TABLE deployment_spec[] = {FIELD("template", IN(pod_template)), END};
TABLE workload[] = {METADATA, FIELD("spec", IN(workload_spec)), FIELD("status", IN(conditions)),
                    END};
TABLE deployment[] = {METADATA, FIELD("spec", IN(deployment_spec)), FIELD("status", IN(conditions)),
                      END};
TABLE cron_job_template[] = {METADATA, FIELD("spec", IN(workload_spec)), END};
TABLE cron_job_spec[] = {FIELD("jobTemplate", IN(cron_job_template)), END};
TABLE cron_job[] = {METADATA, FIELD("spec", IN(cron_job_spec)), END};

/* --- services, nodes and the rest of core */
TABLE service_spec[] = {FIELD("ports", BY("port")), END};
TABLE service[] = {METADATA, FIELD("spec", IN(service_spec)), FIELD("status", IN(conditions)), END};
TABLE service_account[] = {METADATA, FIELD("secrets", BY("name")),
                           FIELD("imagePullSecrets", BY("name")), END};
TABLE node_spec[] = {FIELD("podCIDRs", SET), FIELD("taints", BY("key")), END};
TABLE node_status[] = {FIELD("conditions", BY("type")), FIELD("addresses", BY("type")), END};
TABLE node[] = {METADATA, FIELD("spec", IN(node_spec)), FIELD("status", IN(node_status)), END};
TABLE with_conditions[] = {METADATA, FIELD("status", IN(conditions)), END};
TABLE plain[] = {METADATA, END};

static const struct {
    const char *group;
    const char *kind;
    const struct val_merge_schema *schema;
} kinds[] = {{"", "Pod", pod},
             {"", "PodTemplate", pod_template_kind},
             {"", "ReplicationController", workload},
             {"", "Service", service},
             {"", "ServiceAccount", service_account},
             {"", "Node", node},
             {"", "Namespace", with_conditions},
             {"", "PersistentVolume", plain},
             {"", "PersistentVolumeClaim", with_conditions},
             {"", "ConfigMap", plain},
             {"", "Secret", plain},
             {"", "Event", plain},
             {"", "Endpoints", plain},
             {"", "LimitRange", plain},
             {"", "ResourceQuota", plain},
             {"events.k8s.io", "Event", plain},
             {"apps", "Deployment", deployment},
             {"apps", "ReplicaSet", workload},
             {"apps", "StatefulSet", workload},
             {"apps", "DaemonSet", workload},
             {"batch", "Job", workload},
             {"batch", "CronJob", cron_job},
             {"coordination.k8s.io", "Lease", plain},
             {"discovery.k8s.io", "EndpointSlice", plain},
             {"networking.k8s.io", "Ingress", plain},
             {"networking.k8s.io", "IngressClass", plain},
             {"networking.k8s.io", "NetworkPolicy", plain},
             {"policy", "PodDisruptionBudget", with_conditions},
             {"rbac.authorization.k8s.io", "Role", plain},
             {"rbac.authorization.k8s.io", "RoleBinding", plain},
             {"rbac.authorization.k8s.io", "ClusterRole", plain},
             {"rbac.authorization.k8s.io", "ClusterRoleBinding", plain},
             {"scheduling.k8s.io", "PriorityClass", plain},
             {"storage.k8s.io", "StorageClass", plain},
             {"apiextensions.k8s.io", "CustomResourceDefinition", plain}};

const struct val_merge_schema *kube_merge_schema_for(struct str group, struct str kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_is(group, kinds[i].group) && str_is(kind, kinds[i].kind))
            return kinds[i].schema;
    return NULL;
}
